"""Numbers, sizes and durations as people read them."""

from __future__ import annotations


def format_count(number: int, noun: str) -> str:
    """A number of things: 1 image, 6,000 images."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_bytes(size: float) -> str:
    """Bytes in few characters: 640 B, 12 KiB, 1.4 MiB, 320 MiB, 2.5 GiB."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1023.5:
            return f"{size:.1f} {unit}" if unit == "MiB" and size < 9.95 else f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def format_number(value: float) -> str:
    """A number in few characters: 0.0123, 12.3, 1,234, 12.5k, 3.2M, 2e-4."""
    size = abs(value)
    if size < 1e-12:
        return "0"
    if size < 1e-3:
        digits, power = f"{value:.2e}".split("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.4g}{unit}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}"


def format_duration(seconds: float) -> str:
    """Seconds as 7 s, 3:05, 2:03:05 or 5 d 02:03."""
    if seconds < 59.5:
        return f"{max(0, round(seconds))} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def format_about(seconds: float) -> str:
    """A duration that is only roughly known: about 40 s, about 12 min, about 3.5 h, about 18 h, about 9 days."""
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} min"
    hours = seconds / 3600
    if hours < 9.5:
        return f"about {hours:.1f} h".replace(".0 h", " h")
    return f"about {round(hours)} h" if hours < 48 else f"about {round(hours / 24)} days"
