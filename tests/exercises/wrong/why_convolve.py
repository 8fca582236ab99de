"""Wrong answers to the exercises of lesson 1."""

import numpy as np

from minicnn.exercises import why_convolve as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

wrong(exercise.positions, hint="how many places")(256)
wrong(exercise.positions, hint="down and across")(17)
wrong(exercise.positions, hint="hang over")(40 * 40)
wrong(exercise.positions, hint="free")(40**2 - 24**2)


@wrong(exercise.shifted, hint="comes back on the other side")
def rolled(images, down, right):
    return np.roll(np.roll(images, down, axis=2), right, axis=3)


@wrong(exercise.shifted, hint="a shift of 0")
def sliced_with_minus(images, down, right):
    moved = np.zeros_like(images)
    rows, columns = abs(down), abs(right)
    if down >= 0 and right >= 0:
        moved[:, :, rows:, columns:] = images[:, :, :-rows, :-columns]
    elif down < 0 and right < 0:
        moved[:, :, :-rows, :-columns] = images[:, :, rows:, columns:]
    elif down < 0:
        moved[:, :, :-rows, columns:] = images[:, :, rows:, :-columns]
    else:
        moved[:, :, rows:, :-columns] = images[:, :, :-rows, columns:]
    return moved


@wrong(exercise.shifted, hint="negative shifts")
def only_forward(images, down, right):
    moved = np.zeros_like(images)
    height, width = images.shape[2:]
    moved[:, :, down:, right:] = images[:, :, : height - down, : width - right]
    return moved


@wrong(exercise.shifted, hint="exchanged")
def x_before_y(images, down, right):
    moved = np.zeros_like(images)
    height, width = images.shape[2:]
    for h in range(height):
        for w in range(width):
            if 0 <= h - right < height and 0 <= w - down < width:
                moved[:, :, h, w] = images[:, :, h - right, w - down]
    return moved


@wrong(exercise.shifted, hint="other way")
def pulled(images, down, right):
    moved = np.zeros_like(images)
    height, width = images.shape[2:]
    for h in range(height):
        for w in range(width):
            if 0 <= h + down < height and 0 <= w + right < width:
                moved[:, :, h, w] = images[:, :, h + down, w + right]
    return moved


@wrong(exercise.shifted, hint="changes what it was given")
def in_place(images, down, right):
    height, width = images.shape[2:]
    rows = range(height) if down <= 0 else range(height - 1, -1, -1)
    columns = range(width) if right <= 0 else range(width - 1, -1, -1)
    for h in rows:
        for w in columns:
            inside = 0 <= h - down < height and 0 <= w - right < width
            images[:, :, h, w] = images[:, :, h - down, w - right] if inside else 0
    return images


@wrong(exercise.dense_weights, hint="bias")
def forgot_bias(height, width, channels, neurons):
    return neurons * channels * height * width


@wrong(exercise.dense_weights, hint="one bias is not enough")
def one_bias(height, width, channels, neurons):
    return 1 + neurons * channels * height * width


@wrong(exercise.dense_weights, hint="channel")
def grey(height, width, channels, neurons):
    return neurons * (height * width) + neurons


@wrong(exercise.dense_weights, hint="single neuron")
def one_neuron(height, width, channels, neurons):
    pixels = height * width
    return pixels * channels + neurons


@wrong(exercise.conv_weights, hint="image's size does not matter")
def not_shared(height, width, channels, filters, kernel):
    places = height * width
    return places * kernel[0] * kernel[1] * channels * filters + filters


@wrong(exercise.conv_weights, hint="image's size does not matter")
def shared_by_nobody(height, width, channels, filters, kernel):
    places = (height - kernel[0] + 1) * (width - kernel[1] + 1)
    return places * (kernel[0] * kernel[1] * channels + 1) * filters


@wrong(exercise.conv_weights, hint="all channels")
def flat(height, width, channels, filters, kernel):
    rows, columns = kernel
    return rows * columns * filters + filters


@wrong(exercise.conv_weights, hint="bias")
def no_bias(height, width, channels, filters, kernel):
    return np.prod(kernel) * channels * filters


@wrong(exercise.conv_weights, hint="square")
def square(height, width, channels, filters, kernel):
    return (kernel[0] ** 2 * channels + 1) * filters


@wrong(exercise.as_matrix, hint="turned round")
def true_convolution(kernel, height, width):
    rows, columns = kernel.shape
    out_width = width - columns + 1
    matrix = np.zeros(((height - rows + 1) * out_width, height * width))
    for answer in range(len(matrix)):
        i, j = divmod(answer, out_width)
        for u in range(rows):
            for v in range(columns):
                pixel = (i + u) * width + j + v
                matrix[answer, pixel] = kernel[rows - 1 - u, columns - 1 - v]
    return matrix


@wrong(exercise.as_matrix, hint="wrap around")
def each_row_one_further(kernel, height, width):
    rows, columns = kernel.shape
    patch = np.zeros((height, width))
    patch[:rows, :columns] = kernel
    matrix = [patch.ravel()]
    for _ in range((height - rows + 1) * (width - columns + 1) - 1):
        matrix.append(np.roll(matrix[-1], 1))
    return np.array(matrix)


@wrong(exercise.as_matrix, hint="inside the image")
def one_answer_a_pixel(kernel, height, width):
    matrix = np.zeros((height * width, height * width))
    for h in range(height):
        for w in range(width):
            for (u, v), weight in np.ndenumerate(kernel):
                if h + u < height and w + v < width:
                    matrix[h * width + w, (h + u) * width + w + v] = weight
    return matrix


@wrong(exercise.as_matrix, hint="OW, not W")
def answers_as_wide_as_the_image(kernel, height, width):
    rows, columns = kernel.shape
    down, across = height - rows + 1, width - columns + 1
    matrix = np.zeros((down * across, height * width))
    for i in range(down):
        for j in range(across):
            patch = np.zeros((height, width))
            patch[i : i + rows, j : j + columns] = kernel
            matrix[i * width + j] = patch.flatten()
    return matrix


@wrong(exercise.as_matrix, hint="transpose")
def pixels_down(kernel, height, width):
    rows, columns = kernel.shape
    columns_of = []
    for i in range(height - rows + 1):
        for j in range(width - columns + 1):
            patch = np.zeros((height, width))
            patch[i : i + rows, j : j + columns] = kernel
            columns_of.append(patch.ravel())
    return np.stack(columns_of, axis=1)


@wrong(exercise.shared_gradient, hint="added up")
def last_place_wins(image, grad_answers):
    rows = image.shape[0] - grad_answers.shape[0] + 1
    columns = image.shape[1] - grad_answers.shape[1] + 1
    grad_kernel = np.zeros((rows, columns))
    for i in range(grad_answers.shape[0]):
        for j in range(grad_answers.shape[1]):
            grad_kernel[:] = grad_answers[i, j] * image[i : i + rows, j : j + columns]
    return grad_kernel


@wrong(exercise.shared_gradient, hint="mean")
def averaged(image, grad_answers):
    rows = image.shape[0] - grad_answers.shape[0] + 1
    columns = image.shape[1] - grad_answers.shape[1] + 1
    down, across = grad_answers.shape
    return np.array(
        [
            [(grad_answers * image[u : u + down, v : v + across]).mean() for v in range(columns)]
            for u in range(rows)
        ]
    )


@wrong(exercise.shared_gradient, hint="chain rule")
def only_the_pixels(image, grad_answers):
    down, across = grad_answers.shape
    rows, columns = image.shape[0] - down + 1, image.shape[1] - across + 1
    grad_kernel = np.zeros((rows, columns))
    for u in range(rows):
        for v in range(columns):
            grad_kernel[u, v] = image[u : u + down, v : v + across].sum()
    return grad_kernel


@wrong(exercise.shared_gradient, hint="turned round")
def flipped(image, grad_answers):
    down, across = grad_answers.shape
    rows, columns = image.shape[0] - down + 1, image.shape[1] - across + 1
    grad_kernel = np.zeros((rows, columns))
    for i in range(down):
        for j in range(across):
            patch = image[i : i + rows, j : j + columns]
            grad_kernel += grad_answers[i, j] * patch[::-1, ::-1]
    return grad_kernel


@wrong(exercise.shared_gradient, hint="rows")
def as_large_as_the_answers(image, grad_answers):
    grad_kernel = np.zeros(grad_answers.shape)
    for (i, j), gradient in np.ndenumerate(grad_answers):
        grad_kernel[i, j] += gradient * image[i, j]
    return grad_kernel[:, :1]


def moved(images, down, right):
    return exercise.shifted.solution(images, down, right)


@wrong(exercise.equivariance_gap, hint="invariance")
def not_moved(layer, images, down, right, margin):
    one, other = layer(moved(images, down, right)), layer(images)
    m = margin
    return np.abs(one - other)[:, :, m:-m, m:-m].max()


@wrong(exercise.equivariance_gap, hint="no margin")
def border_and_all(layer, images, down, right, margin):
    one, other = layer(moved(images, down, right)), moved(layer(images), down, right)
    return np.max(np.abs(one - other))


@wrong(exercise.equivariance_gap, hint="rows and columns")
def margin_of_the_wrong_axes(layer, images, down, right, margin):
    one, other = layer(moved(images, down, right)), moved(layer(images), down, right)
    return np.abs(one - other)[margin:-margin, margin:-margin].max()


@wrong(exercise.equivariance_gap, hint="columns; rows have")
def margin_of_one_axis(layer, images, down, right, margin):
    one, other = layer(moved(images, down, right)), moved(layer(images), down, right)
    return np.abs(one - other)[..., margin:-margin].max()


@wrong(exercise.equivariance_gap, hint="moved back")
def undone(layer, images, down, right, margin):
    one, other = layer(moved(images, down, right)), moved(layer(images), -down, -right)
    return np.abs(one - other)[:, :, margin:-margin, margin:-margin].max()


@wrong(exercise.equivariance_gap, hint="positive or negative")
def signed(layer, images, down, right, margin):
    one, other = layer(moved(images, down, right)), moved(layer(images), down, right)
    return (one - other)[:, :, margin:-margin, margin:-margin].max()


wrong(exercise.period, hint="other pixels share a window")(1)
wrong(exercise.period, hint="now the second")(2)
wrong(exercise.period, hint="how many")(8)
wrong(exercise.period, hint="area")(16)
