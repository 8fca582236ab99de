"""What CuPy has, by name: so that the stand-in has nothing else.

Read from CuPy 14.2; test_cuda_host_arrays.py compares it with the CuPy that is installed, if
one is.  Of functions also the parameters: ``=`` has a default, ``/`` and ``*`` as in Python.
"""

from __future__ import annotations

import inspect

FUNCTIONS = """
all a axis= out= keepdims=; allclose a b rtol= atol= equal_nan=; alltrue a axis= out= keepdims=;
amax a axis= out= keepdims=; amin a axis= out= keepdims=; angle z deg=; any a axis= out= keepdims=;
append arr values axis=; apply_along_axis func1d axis arr *args **kwargs; apply_over_axes func a
axes; arange start stop= step= dtype=; argmax a axis= dtype= out= keepdims=; argmin a axis= dtype=
out= keepdims=; argpartition a kth axis=; argsort a axis= kind=; argwhere a; around a decimals=
out=; array obj dtype= copy= order= subok= ndmin= * blocking=; array2string a *args **kwargs;
array_equal a1 a2 equal_nan=; array_equiv a1 a2; array_repr arr max_line_width= precision=
suppress_small=; array_split ary indices_or_sections axis=; array_str arr max_line_width=
precision= suppress_small=; asanyarray a dtype= order= * copy= blocking=; asarray a dtype= order= *
copy= blocking=; asarray_chkfinite a dtype= order=; ascontiguousarray a dtype=; asfarray a dtype=;
asfortranarray a dtype=; asnumpy a stream= order= out= * blocking=; astype x dtype / * copy=;
atleast_1d *arys; atleast_2d *arys; atleast_3d *arys; average a axis= weights= returned= *
keepdims=; bartlett M; base_repr number base= padding=; binary_repr num width=; bincount x weights=
minlength=; blackman M; broadcast_arrays *args; broadcast_shapes *args; broadcast_to array shape;
byte_bounds a; can_cast from_ to casting=; choose a choices out= mode=; clip a a_min a_max out=;
column_stack tup; common_type *arrays; compress condition a axis= out=; concat tup axis= out= *
dtype= casting=; concatenate tup axis= out= * dtype= casting=; convolve a v mode=; copy a order=;
copyto dst src casting= where=; corrcoef a y= rowvar= bias= ddof= * dtype=; correlate a v mode=;
count_nonzero a axis=; cov a y= rowvar= bias= ddof= fweights= aweights= * dtype=; cross a b axisa=
axisb= axisc= axis=; cumprod a axis= dtype= out=; cumproduct a axis= dtype= out=; cumsum a axis=
dtype= out=; cumulative_prod x / * axis= dtype= out= include_initial=; cumulative_sum x / * axis=
dtype= out= include_initial=; delete arr indices axis=; diag v k=; diag_indices n ndim=;
diag_indices_from arr; diagflat v k=; diagonal a offset= axis1= axis2=; diff a n= axis= prepend=
append=; digitize x bins right=; disp *args **kwds; dot a b out=; dsplit ary indices_or_sections;
dstack tup; ediff1d arr to_end= to_begin=; einsum *operands **kwargs; empty shape dtype= order=;
empty_like prototype dtype= order= subok= shape=; expand_dims a axis; extract condition a; eye N M=
k= dtype= order=; fill_diagonal a val wrap=; find_common_type *args **kwds; flatnonzero a; flip a
axis=; fliplr a; flipud a; format_float_positional x *args **kwargs; format_float_scientific x
*args **kwargs; frombuffer *args **kwargs; fromfile *args **kwargs; fromfunction *args **kwargs;
fromiter *args **kwargs; fromstring *args **kwargs; full shape fill_value dtype= order=; full_like
a fill_value dtype= order= subok= shape=; genfromtxt *args **kwargs; get_array_module *args;
get_array_wrap *args **kwds; get_default_memory_pool; get_default_pinned_memory_pool;
get_printoptions; gradient f *varargs axis= edge_order=; hamming M; hanning M; histogram x bins=
range= density= weights=; histogram2d x y bins= range= weights= density=; histogramdd sample bins=
range= weights= density=; hsplit ary indices_or_sections; hstack tup * dtype= casting=; identity n
dtype=; imag val; in1d ar1 ar2 assume_unique= invert=; indices dimensions dtype=; inner a b; interp
x xp fp left= right= period=; intersect1d arr1 arr2 assume_unique= return_indices=; is_available;
isclose a b rtol= atol= equal_nan=; iscomplex x; iscomplexobj x; isdtype dtype kind; isfortran a;
isin element test_elements assume_unique= invert=; isneginf x out=; isposinf x out=; isreal x;
isrealobj x; isscalar element; issctype rep; issubclass_ arg1 arg2; issubdtype arg1 arg2;
issubsctype arg1 arg2; iterable y; ix_ *args; kaiser M beta; kron a b; lexsort keys; linspace start
stop num= endpoint= retstep= dtype= axis=; load file mmap_mode= allow_pickle=; loadtxt *args
**kwargs; logspace start stop num= endpoint= base= dtype= axis=; mask_indices n mask_func k=;
matmul *args **kwargs; matrix_transpose x /; max a axis= out= keepdims=; may_share_memory a b
max_work=; mean a axis= dtype= out= keepdims=; median a axis= out= overwrite_input= keepdims=;
meshgrid *xi **kwargs; min a axis= out= keepdims=; mintypecode typechars typeset= default=;
moveaxis a source destination; msort a; nan_to_num x copy= nan= posinf= neginf=; nanargmax a axis=
dtype= out= keepdims=; nanargmin a axis= dtype= out= keepdims=; nancumprod a axis= dtype= out=;
nancumsum a axis= dtype= out=; nanmax a axis= out= keepdims=; nanmean a axis= dtype= out=
keepdims=; nanmedian a axis= out= overwrite_input= keepdims=; nanmin a axis= out= keepdims=;
nanprod a axis= dtype= out= keepdims=; nanstd a axis= dtype= out= ddof= keepdims=; nansum a axis=
dtype= out= keepdims=; nanvar a axis= dtype= out= ddof= keepdims=; ndim a; nonzero a; obj2sctype
rep default=; ones shape dtype= order=; ones_like a dtype= order= subok= shape=; outer a b out=;
packbits a axis= bitorder=; pad array pad_width mode= **kwargs; partition a kth axis=; percentile a
q axis= out= overwrite_input= method= keepdims= * interpolation=; permute_dims a axes=; piecewise x
condlist funclist; place arr mask vals; poly seq_of_zeros; polyadd a1 a2; polyfit x y deg rcond=
full= w= cov=; polymul a1 a2; polysub a1 a2; polyval p x; printoptions *args **kwargs; prod a axis=
dtype= out= keepdims=; product a axis= dtype= out= keepdims=; ptp a axis= out= keepdims=; put a ind
v mode=; put_along_axis arr indices values axis; putmask a mask values; quantile a q axis= out=
overwrite_input= method= keepdims= * interpolation=; ravel a order=; ravel_multi_index multi_index
dims mode= order=; real val; real_if_close a tol=; repeat a repeats axis=; require a dtype=
requirements=; reshape a newshape order= * copy=; resize a new_shape; result_type
*arrays_and_dtypes; roll a shift axis=; rollaxis a axis start=; roots p; rot90 a k= axes=; round a
decimals= out=; round_ a decimals= out=; row_stack tup * dtype= casting=; safe_eval *args **kwds;
save file arr allow_pickle=; savetxt fname X *args **kwargs; savez file *args **kwds;
savez_compressed file *args **kwds; sctype2char sctype; searchsorted a v side= sorter=; select
condlist choicelist default=; set_printoptions precision= threshold= edgeitems= linewidth=
suppress= nanstr= infstr= formatter= sign= floatmode= * legacy= override_repr=; set_string_function
*args **kwds; setdiff1d ar1 ar2 assume_unique=; setxor1d ar1 ar2 assume_unique=; shape a;
shares_memory a b max_work=; show_config * _full=; size a axis=; sometrue a axis= out= keepdims=;
sort a axis= kind=; sort_complex a; split ary indices_or_sections axis=; squeeze a axis=; stack tup
axis= out= * dtype= casting=; std a axis= dtype= out= ddof= keepdims=; sum a axis= dtype= out=
keepdims=; swapaxes a axis1 axis2; take a indices axis= out=; take_along_axis a indices axis;
tensordot a b axes=; tile A reps; trace a offset= axis1= axis2= dtype= out=; transpose a axes=;
trapezoid y x= dx= axis=; trapz y x= dx= axis=; tri N M= k= dtype=; tril m k=; tril_indices n k=
m=; tril_indices_from arr k=; trim_zeros filt trim=; triu m k=; triu_indices n k= m=;
triu_indices_from arr k=; typename char; union1d arr1 arr2; unique ar return_index= return_inverse=
return_counts= axis= * equal_nan=; unique_all x; unique_counts x; unique_inverse x; unique_values
x; unpackbits a axis= bitorder=; unravel_index indices dims order=; unwrap p discont= axis= *
period=; vander x N= increasing=; var a axis= dtype= out= ddof= keepdims=; vdot a b; vsplit ary
indices_or_sections; vstack tup * dtype= casting=; where condition x= y=; who vardict=; zeros shape
dtype= order=; zeros_like a dtype= order= subok= shape=; linalg.cholesky a; linalg.cond x p=;
linalg.cross x1 x2 / * axis=; linalg.det a; linalg.eig a; linalg.eigh a UPLO=; linalg.eigvals a;
linalg.eigvalsh a UPLO=; linalg.inv a; linalg.lstsq a b rcond=; linalg.matrix_power M n;
linalg.matrix_rank M tol=; linalg.matrix_transpose a; linalg.norm x ord= axis= keepdims=;
linalg.pinv a rcond=; linalg.qr a mode=; linalg.slogdet a; linalg.solve a b; linalg.svd a
full_matrices= compute_uv=; linalg.tensorinv a ind=; linalg.tensorsolve a b axes=
"""

UFUNCS = """
abs absolute acos acosh add arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan
atan2 atanh bitwise_and bitwise_count bitwise_invert bitwise_left_shift bitwise_not bitwise_or
bitwise_right_shift bitwise_xor cbrt ceil conj conjugate copysign cos cosh deg2rad degrees
divide divmod equal exp exp2 expm1 fabs fix float_power floor floor_divide fmax fmin fmod frexp
gcd greater greater_equal heaviside hypot i0 invert isfinite isinf isnan lcm ldexp left_shift
less less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or
logical_xor maximum minimum mod modf multiply negative nextafter not_equal positive pow power
rad2deg radians reciprocal remainder right_shift rint sign signbit sin sinc sinh sqrt square
subtract tan tanh true_divide trunc
"""

OTHERS = """
AxisError ComplexWarning DataSource ElementwiseKernel Inf Infinity ModuleDeprecationWarning NAN
NINF NZERO NaN PINF PZERO RankWarning RawKernel RawModule ReductionKernel TooHardError
VisibleDeprecationWarning annotations bool bool_ broadcast byte c_ cdouble cfloat clear_memo
complex128 complex64 complex_ complexfloating csingle cuda disable_experimental_feature_warning
double dtype e euler_gamma exceptions fft finfo flatiter float16 float32 float64 float_ floating
format_parser fromDlpack from_dlpack fuse generic half iinfo index_exp inexact inf infty int16
int32 int64 int8 int_ intc integer intp lib linalg long longlong make_aligned_dtype memoize
mgrid min_scalar_type nan ndarray ndindex newaxis number ogrid pi poly1d polynomial
promote_types r_ random s_ short signedinteger single singlecomplex testing typing ubyte ufunc
uint uint16 uint32 uint64 uint8 uintc uintp ulong ulonglong unsignedinteger ushort vectorize
"""

METHODS = """
T all any argmax argmin argpartition argsort astype base byteswap choose clip compress conj
conjugate copy cstruct cumprod cumsum data device diagonal dot dtype dump dumps fill flags flat
flatten get imag item itemsize mT max mdspan mean min nbytes ndim nonzero partition prod ptp put
ravel real reduced_view repeat reshape round scatter_add scatter_max scatter_min searchsorted
set shape size sort squeeze std strides sum swapaxes take toDlpack tobytes tofile tolist trace
transpose var view
"""

CUDA = """
BaseMemory CFunctionAllocator Device Event ExternalStream Function Graph ManagedMemory Memory
MemoryAsync MemoryAsyncPool MemoryHook MemoryPointer MemoryPool Module PinnedMemory
PinnedMemoryPointer PinnedMemoryPool PythonFunctionAllocator Stream UnownedMemory alloc
alloc_pinned_memory common compiler cub device driver function get_allocator get_cublas_handle
get_cuda_path get_current_stream get_device_id get_elapsed_time get_hipcc_path
get_local_runtime_version get_nvcc_path get_rocm_path graph is_available malloc_async
malloc_managed memory memory_hook memory_hooks nvrtc nvtx pinned_memory profile profiler runtime
set_allocator set_pinned_memory_allocator stream texture thrust using_allocator
"""

CUPYX = """
DeviceSynchronized GeneralizedUFunc allow_synchronize empty_like_pinned empty_pinned errstate
get_runtime_info geterr linalg optimizing profiler rsqrt scatter_add scatter_max scatter_min scipy
seterr time zeros_like_pinned zeros_pinned
"""

# Functions that answer the host from shapes and types alone.
ON_THE_HOST = """
array2string array_repr array_str base_repr binary_repr broadcast_shapes byte_bounds can_cast
common_type format_float_positional format_float_scientific get_printoptions iscomplexobj isdtype
isfortran isrealobj isscalar issubdtype iterable may_share_memory mintypecode ndim printoptions
result_type set_printoptions shape shares_memory size typename
"""

# Functions for which the host must look at numbers: the shape of a result hangs on them, or they
# are checked.
WAITS = """
argwhere array2string array_repr array_str bincount choose compress delete extract flatnonzero
histogram histogram2d histogramdd intersect1d linalg.cholesky linalg.inv linalg.lstsq
linalg.matrix_rank linalg.solve nonzero piecewise place ravel_multi_index roots setdiff1d setxor1d
trim_zeros union1d unique unique_all unique_counts unique_inverse unique_values unravel_index
"""

# Parameters about places and shapes, not numbers: NumPy's arrays will do.
ABOUT_PLACES = """
axes axis bins dims dimensions dtype indices_or_sections k new_shape newshape pad_width q range reps
repeats shape shift source destination
"""

# Functions that make something of numbers and lists, too.
FROM_ANYTHING = """
allclose angle apply_along_axis apply_over_axes arange array_equal asarray_chkfinite eye identity
imag indices inner interp isclose iscomplex iscomplexobj isreal isrealobj ix_ kron linspace logspace
nan_to_num outer piecewise poly real require roots select tri
"""


def words(table):
    """The words of a table."""
    return frozenset(table.split())


def entries(table):
    """The names of a table, each with the text of its parameters."""
    return [
        (entry.split()[0], " ".join(entry.split()[1:]))
        for entry in table.split(";")
        if entry.strip()
    ]


def bind(name, signature, args, kwargs):
    """Bind arguments, with the function's name in the complaint."""
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name}() {error}") from None


def parsed(text):
    """Read parameters: ``a / axis= * out=`` (a default that nobody needs to know is None)."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = []
    for word in text.split():
        if word == "/":
            parameters = [p.replace(kind=p.POSITIONAL_ONLY) for p in parameters]
        elif word == "*":
            kind = inspect.Parameter.KEYWORD_ONLY
        elif word.startswith("**"):
            parameters.append(inspect.Parameter(word[2:], inspect.Parameter.VAR_KEYWORD))
        elif word.startswith("*"):
            parameters.append(inspect.Parameter(word[1:], inspect.Parameter.VAR_POSITIONAL))
            kind = inspect.Parameter.KEYWORD_ONLY
        else:
            default = None if word.endswith("=") else inspect.Parameter.empty
            parameters.append(inspect.Parameter(word.removesuffix("="), kind, default=default))
    return inspect.Signature(parameters)
