/* What all parts of a restore do with the stream: read it, or refuse it with a line of log. */
#include "lib_restore.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int restore_malformed(struct restore *r, const char *format, ...)
{
    char text[256];
    va_list al;
    va_start(al, format);
    vsnprintf(text, sizeof text, format, al);
    va_end(al);
    log_error(r->xch, "%s", text);
    errno = EBADMSG;
    return -1;
}

int restore_read(struct restore *r, void *data, size_t size, const char *what)
{
    int rc = io_read(r->fd, data, size);
    if (rc != 0)
        log_errno(r->xch, "Failed to read %s from stream", what);
    return rc;
}
