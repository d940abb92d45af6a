"""Bytes that came piece by piece, and when. Pure."""


class TimedBuffer:
    def __init__(self) -> None:
        self.data = bytearray()
        self._arrivals: list[tuple[int, float]] = []
        """Offset -> when the piece that begins there came."""

    def append(self, piece: bytes, t: float) -> None:
        self._arrivals.append((len(self.data), t))
        self.data += piece

    @property
    def first_t(self) -> float:
        """When the first byte came. There has to be one."""
        return self._arrivals[0][1]

    def skip(self, count: int) -> None:
        del self.data[:count]
        moved = [(max(0, at - count), t) for at, t in self._arrivals]
        # Of all pieces that now begin at 0, the last one holds the first byte.
        begun = sum(at == 0 for at, _ in moved)
        self._arrivals = moved[max(0, begun - 1) :] if self.data else []

    def clear(self) -> None:
        self.data.clear()
        self._arrivals.clear()
