"""Wrong answers to the exercises of the lesson that builds an autograd engine."""

from collections import deque

import numpy as np

from minicnn.exercises import a_tape as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

wrong(exercise.slope, hint="directly")(9 * 7)
wrong(exercise.slope, hint="b changes")(72)
wrong(exercise.slope, hint="the direct one")(126)
wrong(exercise.slope, hint="grows")(108)

wrong(exercise.calls, hint="visited twice")(11)
wrong(exercise.calls, hint="on the way are visited")(2**10)
wrong(exercise.calls, hint="one less")(2**11)
wrong(exercise.calls, hint="two arrows")(21)


@wrong(exercise.numeric_gradient, hint="one side")
def forward_difference(f, x, step):
    gradient = np.zeros_like(x)
    here = f(x)
    for i in np.ndindex(*x.shape):
        moved = np.array(x)
        moved[i] = x[i] + step
        gradient[i] = (f(moved) - here) / step
    return gradient


@wrong(exercise.numeric_gradient, hint="two steps")
def divided_by_one_step(f, x, step):
    gradient = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index"])
    for _ in it:
        e = np.zeros_like(x)
        e[it.multi_index] = step
        gradient[it.multi_index] = (f(x + e) - f(x - e)) / step
    return gradient


@wrong(exercise.numeric_gradient, hint="np.ndindex")
def one_axis_only(f, x, step):
    gradient = []
    for i in range(len(x)):
        e = np.zeros_like(x)
        e[i] = step
        gradient.append((f(x + e) - f(x - e)) / (2 * step))
    return np.array(gradient)


@wrong(exercise.numeric_gradient, hint="all numbers are moved at once")
def moves_everything(f, x, step):
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        gradient[i] = (f(x + step) - f(x - step)) / (2 * step)
    return gradient


@wrong(exercise.numeric_gradient, hint="not put back")
def moves_x_itself(f, x, step):
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        old = x[i]
        x[i] = old + step
        above = f(x)
        x[i] = old - step
        gradient[i] = (above - f(x)) / (2 * step)
    return gradient


@wrong(exercise.backward, hint="add")
def assigns(y, grad):
    values, todo = set(), [y]
    while todo:
        v = todo.pop()
        values.add(v)
        todo.extend(p for p, _ in v.parents if p not in values)
    y.grad = grad
    for v in sorted(values, key=lambda v: v.born)[::-1]:
        for p, pull in v.parents:
            p.grad = pull(v.grad)


@wrong(exercise.backward, hint="every path")
def calls_itself_for_each_parent(y, grad):
    y.grad += grad
    for parent, pull_back in y.parents:
        calls_itself_for_each_parent(parent, pull_back(grad))


@wrong(exercise.backward, hint="recursion")
def sorts_by_calling_itself(y, grad):
    order, seen = [], set()

    def visit(v):
        if v in seen:
            return
        seen.add(v)
        for p, _ in v.parents:
            visit(p)
        order.append(v)

    visit(y)
    y.grad = grad
    for v in order[::-1]:
        for p, pull_back in v.parents:
            p.grad += pull_back(v.grad)


@wrong(exercise.backward, hint="youngest first")
def queue_of_what_is_near(y, grad):
    y.grad = grad
    queue, known = deque([y]), {y}
    while queue:
        v = queue.popleft()
        for p, pull_back in v.parents:
            p.grad += pull_back(v.grad)
            if p not in known:
                known.add(p)
                queue.append(p)


@wrong(exercise.backward, hint="complete")
def stack_that_visits_once(y, grad):
    y.grad = grad
    stack, done = [y], set()
    while stack:
        v = stack.pop()
        if v in done:
            continue
        done.add(v)
        for p, pull_back in v.parents:
            p.grad += pull_back(v.grad)
            stack.append(p)


@wrong(exercise.backward, hint="always with 1")
def seeds_with_one(y, grad):
    values, todo = {y}, [y]
    while todo:
        for p, _ in todo.pop().parents:
            if p not in values:
                values.add(p)
                todo.append(p)
    y.grad = 1.0
    for v in sorted(values, key=lambda v: -v.born):
        for p, pull_back in v.parents:
            p.grad += pull_back(v.grad)


@wrong(exercise.backward, hint="begins with it")
def forgets_its_own(y, grad):
    values, todo = {y}, [y]
    while todo:
        for p, _ in todo.pop().parents:
            if p not in values:
                values.add(p)
                todo.append(p)
    for v in sorted(values, key=lambda v: -v.born):
        for p, pull_back in v.parents:
            p.grad += pull_back(v.grad)


@wrong(exercise.sum_to, hint="length 1")
def forgets_axes_of_length_one(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(0)
    return grad


@wrong(exercise.sum_to, hint="keepdims")
def drops_axes_of_length_one(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for i in reversed(range(len(shape))):
        if shape[i] == 1:
            grad = grad.sum(axis=i)
    return grad


@wrong(exercise.sum_to, hint="not their average")
def takes_the_mean(grad, shape):
    while grad.ndim > len(shape):
        grad = grad.mean(axis=0)
    for i, n in enumerate(shape):
        if n == 1:
            grad = grad.mean(axis=i, keepdims=True)
    return grad


@wrong(exercise.sum_to, hint="shape that is asked for")
def sums_everything(grad, shape):
    return grad.sum() if grad.shape != shape else grad


@wrong(exercise.sum_to, hint="from the right")
def aligns_on_the_left(grad, shape):
    padded = shape + (1,) * (grad.ndim - len(shape))
    for i, n in enumerate(padded):
        if n != grad.shape[i]:
            grad = grad.sum(axis=i, keepdims=True)
    return grad.reshape(shape)


@wrong(exercise.matmul_gradients, hint="index that the two share")
def no_transpose(a, b, grad_y):
    return np.matmul(grad_y, b), np.matmul(a, grad_y)


@wrong(exercise.matmul_gradients, hint="order")
def wrong_order(a, b, grad_y):
    return np.dot(b.T, grad_y), np.dot(grad_y, a.T)


@wrong(exercise.matmul_gradients, hint="transposed")
def transposed_results(a, b, grad_y):
    return np.einsum("ik,jk->ji", grad_y, b), np.einsum("ij,ik->kj", a, grad_y)


@wrong(exercise.matmul_gradients, hint="exchanged")
def b_first(a, b, grad_y):
    return a.T.dot(grad_y), grad_y.dot(b.T)


@wrong(exercise.matmul_gradients, hint="dL/dy does not enter")
def ignores_the_cotangent(a, b, grad_y):
    rows, columns = grad_y.shape
    grad_a = np.tile(b.sum(axis=1), (rows, 1))
    grad_b = np.tile(a.sum(axis=0)[:, None], (1, columns))
    return grad_a, grad_b


@wrong(exercise.is_right, hint="cotangent of ones")
def sums_the_output(f, pull_back, x, seed):
    v, h = np.random.default_rng(seed).normal(size=x.shape), 1e-6
    gradient = pull_back(x, np.ones_like(f(x)))
    if gradient.shape != x.shape:
        return False
    numeric = (f(x + h * v).sum() - f(x - h * v).sum()) / (2 * h)
    return bool(np.isclose((gradient * v).sum(), numeric, rtol=1e-5, atol=1e-8))


@wrong(exercise.is_right, hint="direction of ones")
def moves_all_alike(f, pull_back, x, seed):
    u, h = np.random.default_rng(seed).normal(size=np.shape(f(x))), 1e-6
    gradient = pull_back(x, u)
    if gradient.shape != x.shape:
        return False
    numeric = (u * (f(x + h) - f(x - h)) / (2 * h)).sum()
    return bool(np.isclose(gradient.sum(), numeric, rtol=1e-5, atol=1e-8))


@wrong(exercise.is_right, hint="another shape")
def forgets_the_shape(f, pull_back, x, seed):
    rng, h = np.random.default_rng(seed), 1e-6
    v = rng.normal(size=x.shape)
    u = rng.normal(size=np.shape(f(x)))
    numeric = np.sum(u * (f(x + h * v) - f(x - h * v))) / (2 * h)
    return bool(np.isclose(np.sum(pull_back(x, u) * v), numeric, rtol=1e-5, atol=1e-8))


@wrong(exercise.is_right, hint="lets a wrong gradient pass")
def believes_everything(f, pull_back, x, seed):
    return pull_back(x, np.ones(np.shape(f(x)))).shape == x.shape


@wrong(exercise.is_right, hint="objects to a gradient that is right")
def believes_nothing(f, pull_back, x, seed):
    return False


@wrong(exercise.is_right, hint="one percent")
def too_patient(f, pull_back, x, seed):
    rng, h = np.random.default_rng(seed), 1e-6
    u, v = rng.normal(size=np.shape(f(x))), rng.normal(size=x.shape)
    gradient = pull_back(x, u)
    if gradient.shape != x.shape:
        return False
    numeric = (u * (f(x + h * v) - f(x - h * v))).sum() / (2 * h)
    return bool(np.isclose((gradient * v).sum(), numeric, rtol=0.02))


@wrong(exercise.softmax_gradient, hint="alike")
def as_it_was_shipped(y, grad_y):
    return y * (grad_y - grad_y.mean(1)[:, None])


@wrong(exercise.softmax_gradient, hint="every x[j]")
def as_if_it_were_a_sigmoid(y, grad_y):
    return grad_y * (y - y**2)


@wrong(exercise.softmax_gradient, hint="weights")
def sum_without_weights(y, grad_y):
    return y * grad_y - y * grad_y.sum(axis=1)[:, None]


@wrong(exercise.softmax_gradient, hint="axis 1")
def along_the_batch(y, grad_y):
    return y * (grad_y - np.sum(y * grad_y, axis=0))


@wrong(exercise.softmax_gradient, hint="in front")
def forgets_the_factor(y, grad_y):
    return grad_y - np.einsum("nk,nk->n", y, grad_y)[:, None]
