"""Two files of PyTorch 2.13, and a writer of files that it would never write.

Made by ``torch.save(OrderedDict(w=arange(6.).reshape(2, 3).t(), b=bfloat16([1.5, -2]), n=3,
part=arange(6.)[2:4]))``, in the format of today and in that from before 1.6.
"""

from __future__ import annotations

import base64
import io
import pickle
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

_TODAY = (
    "c-p0vzi-n(6vxkY;-"
    "oIW3W28l{wbvrO=IWxP+D2Y3<i+~Aw`u?<T@s{aO0kHX`utEgjxX;AZElrz|6ovX9gq~PzSaS2r;m-"
    "AaQ5shwY|6Iputc{l1^~eDA$;NoGO-M5AES;6NNG<23~-"
    "$@vGSB*wr@pRr7<s%4s*iVUmK<ZjzF&DLty4Ha<^jFusls8ATT2x%2rwyGzqEo7KYu4-"
    "$uEyJu;k=AHhc6CAEAd^T`BG|ZzEtR?kL#~9AOiMv`+?yN>JHQlVD-"
    "2%M`4)`GEP~N#8OV%GufhSDl9^S=J<~}5g9sid!-"
    "I}!79P^E6TJf#9WtNmvJX3EJUpUDWE#OC!lYN=QJGqS$6Q_v!Q*9k!ZB>XVIS|N)u?w_amPe}BbY@YcoMTlM_tA#"
    "1W%XYnF`){Ft6AMo^>(0`)+A?PIunv{IpCH{}+h=i>~$(f|twiN-J5CBhk-)|J+-"
    "`5;99$W^xEba3+)YEqhKu)dkIN;#^50LlVjp%=_QppAg4nZjFh734&>7r>dAny)maXkR%rSmd36|E<*yCT!cSq?1"
    "J7lfI$$(0n9!^nnlV?5-Bia8VH#hVXRDSjIh{>-"
    "Ifsrp>|b|rzEj+cX<+DrtlBXWjx<b5#sQRA1~whL3{_I&>`}YnB3!5tWAP7;wv&evq8!sw1Y3U<4cf48vA0}PYC1"
    "r`nz9I$7*|q*kPn4@!I}V=Zyc~zX8DGc)C?Nwzq)N9P#w!P5ti9^%DmLQozouH#OV96}+U7bE|69Br&tEo#0dXd?"
    "6>~g<`%~EMzl$PRORR8KIcY=Y(P*oyz30`IJx~Q9ix(;c)`Tk#M4<XeS%(IK7?BZHl~i4hMDK)*bR`K2czE*9Ya^"
    "#*6t64I1?A_8`IAc7r~`D~Hf+*Pzf_9sXo}qd~VvgDP*I_*Ds}tKx$yZ)f;buX`$C_Yto5ROz6~TZ;oel^z1UN)O"
    "7s#S!<(zB;o0Wm}S2_G;ViEHmc$c>C8Iw7WhGca95|d}+bQi2L6?`NOQM;T(I{_8(5-lV$"
)
_OLD = (
    "c-"
    "n=M%Wl*#6owrqGXsWRfO09<LW`8yjAlmDv|Y7As2g)@*mzS#(~Q*wMe&^Eq!mb&X449I1{N%NjJ^(!fW(56q!g$|"
    "!it^b`1t#O`*^}Xi{$5*?H^0;zP(xOO!&+1HjPKXTs6-a8)pVhXp-PSXL)Q=uqZ*z&`c5|COXjRC?2N3KPo{%d_U"
    "Gf9)Hj|*hk>FszJd#G8sZca%IzBoFX)(qnwgq(tT)2rzl7>B$-"
    "5qNGiE_osD#+N6+IB1+cacma8mUaR@v_lZ8<yC@@ZP5oCI=h?7x(I?YWM9P|a)uB%$5Fl7$+H8}MWv7MM9zO91-"
    "8funuHU_<oZhzJD23~K?gJ$J192aD(`3m9Ej%3o7`~)sbOWG$OK1HRSD+pJ8n5jJN!E8j5(Qlb&l}^t)SDO2y)LZ"
    "NJy;X0$3-"
    "eJ+a#FZfD)3{tF0Es@QPUR?Zu)SmqNi~CANmVAvvcyDi{$nG02YaC5&15W+wGco58=KK52{li52+jvYiQKCK=8;N"
    "Jc{bwFYQQPdV5@Yds35@5mtP7T2^egyd_h%W=(U&rwQ59YT)P&XLUQ>WT)2Iw|(|*vcKD8lZGvNs86VW-"
    "TL4BFFEnG5&"
)


def today() -> bytes:
    return zlib.decompress(base64.b85decode(_TODAY))


def old() -> bytes:
    return zlib.decompress(base64.b85decode(_OLD))


def archive(program: bytes, numbers: dict[str, bytes] | None = None, **more: bytes) -> bytes:
    """A zip archive as torch.save writes it, with any pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", program)
        for key, raw in (numbers or {}).items():
            file.writestr(f"archive/data/{key}", raw)
        for name, raw in more.items():
            file.writestr(f"archive/{name}", raw)
    return buffer.getvalue()


def name(module: str, attribute: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{attribute}\n".encode()


def plain(value: Any) -> bytes:
    """The instructions that put a plain value on the stack."""
    if isinstance(value, bytes):
        return value  # instructions already
    if isinstance(value, tuple):
        return pickle.MARK + b"".join(map(plain, value)) + pickle.TUPLE
    if isinstance(value, dict):
        items = b"".join(plain(k) + plain(v) for k, v in value.items())
        return pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    return pickle.dumps(value, 2)[2:-1]


def called(function: bytes, *args: Any) -> bytes:
    return function + plain(args) + pickle.REDUCE


def tensor(
    shape: Any, strides: Any, offset: Any = 0, count: Any = 6, kind: str = "FloatStorage", key="0"
) -> bytes:
    """The instructions that PyTorch writes for a tensor."""
    storage = plain(("storage", name("torch", kind), key, "cpu", count)) + pickle.BINPERSID
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return called(rebuild, storage, offset, shape, strides, False, {})


def program(value: Any) -> bytes:
    return pickle.PROTO + b"\2" + plain(value) + pickle.STOP


Maker = Callable[[], bytes]
