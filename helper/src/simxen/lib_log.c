/* Logging through the caller's xentoollog_logger, in libxc's words (xc_private.c). */
#define _GNU_SOURCE
#include "lib_handle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT "xc"
#define NO_ERRNO (-1)   /* libxc never passes errnoval: it writes it into the text */
#define TEXT_MAX 1024   /* XC_MAX_ERROR_MSG_LEN */

static void log_to_stderr(xentoollog_level level, const char *format, va_list al)
{
    if (level < XTL_INFO) /* libxc's default logger is as quiet */
        return;
    fprintf(stderr, CONTEXT ": level %d: ", (int)level);
    vfprintf(stderr, format, al);
    fputc('\n', stderr);
}

static void vlog(xc_interface *xch, xentoollog_level level, const char *format, va_list al)
{
    int saved = errno;
    if (xch->logger == NULL)
        log_to_stderr(level, format, al);
    else
        xch->logger->vmessage(xch->logger, level, NO_ERRNO, CONTEXT, format, al);
    errno = saved;
}

void log_at(xc_interface *xch, xentoollog_level level, const char *format, ...)
{
    va_list al;
    va_start(al, format);
    vlog(xch, level, format, al);
    va_end(al);
}

void log_error(xc_interface *xch, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list al;
    va_start(al, format);
    vsnprintf(text, sizeof text, format, al);
    va_end(al);
    log_at(xch, XTL_ERROR, "%s: Internal error", text);
}

void log_errno(xc_interface *xch, const char *format, ...)
{
    char text[TEXT_MAX], reason[128];
    int saved = errno;
    va_list al;
    va_start(al, format);
    vsnprintf(text, sizeof text, format, al);
    va_end(al);
    log_at(xch, XTL_ERROR, "%s (%d = %s): Internal error", text, saved,
           strerror_r(saved, reason, sizeof reason));
    errno = saved;
}

void report_progress(xc_interface *xch, const char *doing_what, uint64_t done, uint64_t total)
{
    int saved = errno, percent = total ? (int)(done * 100 / total) : 0;
    if (xch->logger != NULL && xch->logger->progress != NULL)
        xch->logger->progress(xch->logger, CONTEXT, doing_what, percent, done, total);
    errno = saved;
}
