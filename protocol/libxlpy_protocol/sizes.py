"""How large what is said may be."""

NAME_MAX = 255  # bytes of UTF-8; versions, phases, contexts
PATH_MAX = 4095  # bytes of UTF-8; Linux takes no longer path
TEXT_MAX = 32768  # bytes of UTF-8; half a body, so that a log line always fits
ITEMS_MAX = 32  # items of a tuple field
DATA_MAX = 1024 * 1024  # bytes of toolstack state, either way
BODY_MAX = 64 * 1024  # bytes of a message body, unless its rule says more
LARGE_BODY_MAX = DATA_MAX + 64  # bytes of a body that carries toolstack state
