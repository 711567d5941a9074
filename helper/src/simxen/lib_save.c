/* xc_domain_save, in order of execution.
 *
 * Mirrors libxenguest 4.20 step by step (Xen: tools/libs/guest/xg_sr_save.c): what is called, said
 * and written when, what an error leaves behind. Other parts: lib_save_memory.c (which pages
 * when), lib_save_pages.c (pages to bytes), lib_save_records.c (everything else in the stream). */
#include "lib_save.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *type_name(enum simxen_type type)
{
    return type == SIMXEN_HVM ? "x86 HVM" : "x86 PV";
}

static int refuse(struct save *s, const char *why)
{
    errno = EINVAL;
    log_errno(s->xch, "%s", why);
    return -1;
}

/* libxc asserts these; a wrong call must not kill the process that makes it. */
static int check_call(struct save *s)
{
    const struct save_callbacks *cb = s->callbacks;
    if (cb == NULL || cb->suspend == NULL)
        return refuse(s, "No suspend callback");
    if (s->info[SIMXEN_INFO_TYPE] == SIMXEN_HVM && cb->switch_qemu_logdirty == NULL)
        return refuse(s, "No switch_qemu_logdirty callback for an HVM domain");
    switch (s->stream_type) {
    case XC_STREAM_PLAIN:
        return 0;
    case XC_STREAM_REMUS:
        if (cb->checkpoint == NULL || cb->postcopy == NULL)
            return refuse(s, "No checkpoint or postcopy callback for a checkpointed stream");
        return s->live ? 0 : refuse(s, "A checkpointed stream must be live");
    default:
        return refuse(s, "Stream type not supported");
    }
}

/* Pipes and regular files take pages by way of a relay; a file opened for appending does not. */
static void prepare_stream(struct save *s)
{
    struct stat st;
    io_prepare_pipe(s->fd);
    if (fstat(s->fd, &st) != 0)
        return;
    s->is_pipe = S_ISFIFO(st.st_mode);
    if (s->is_pipe || (S_ISREG(st.st_mode) && !(fcntl(s->fd, F_GETFL) & O_APPEND)))
        relay_open(&s->relay);
}

static int set_up(struct save *s)
{
    s->set_up = true;
    prepare_stream(s);
    if (memory_map(s->xch, s->domid, &s->memory) != 0) {
        log_errno(s->xch, "Failed to map domain");
        return -1;
    }
    dirty_init(&s->log, &s->memory);
    if (s->is_pipe || !relay_usable(&s->relay))
        memory_map_ahead(&s->memory); /* before the suspend: its time is not the guest's */
    if (s->memory.type == SIMXEN_HVM &&
        s->callbacks->switch_qemu_logdirty(s->domid, 1, s->callbacks->data) != 0) {
        errno = ECANCELED;
        log_errno(s->xch, "Couldn't enable qemu log-dirty mode");
        return -1;
    }
    s->bitmap = calloc((s->memory.nr_pages + 63) / 64, sizeof *s->bitmap);
    if (s->bitmap == NULL)
        log_errno(s->xch, "Unable to allocate memory for dirty bitmaps");
    return s->bitmap ? 0 : -1;
}

/* Log-dirty goes off on every path out, also when it was never on: so does libxc. */
static void clean_up(struct save *s)
{
    int saved = errno;
    if (!s->set_up)
        return;
    if (xc_logdirty_control(s->xch, s->domid, SHADOW_OP_OFF, NULL, 0, 0, NULL) < 0)
        log_errno(s->xch, "Failed to disable logdirty");
    if (s->info[SIMXEN_INFO_TYPE] == SIMXEN_HVM &&
        s->callbacks->switch_qemu_logdirty(s->domid, 0, s->callbacks->data) != 0)
        log_error(s->xch, "Couldn't disable qemu log-dirty mode");
    dirty_close(&s->log);
    memory_unmap(&s->memory);
    relay_close(&s->relay);
    free(s->bitmap);
    errno = saved;
}

/* After a checkpoint's data: 1 to take another, 0 to end gracefully, -1 on error. */
static int checkpoint(struct save *s)
{
    if (save_record(s, REC_CHECKPOINT, NULL, 0) != 0)
        return -1;
    errno = ECANCELED; /* of a callback that refuses without saying why */
    int rc = s->callbacks->postcopy(s->callbacks->data);
    if (rc > 0)
        rc = s->callbacks->checkpoint(s->callbacks->data);
    return rc > 0 ? 1 : rc < 0 ? -1 : 0;
}

static int save(struct save *s)
{
    int rc = set_up(s);
    if (rc == 0) {
        report_progress(s->xch, "Start of stream", 0, 0);
        rc = save_start_of_stream(s);
    }
    if (rc != 0)
        return -1;
    do {
        if (save_memory(s) != 0 || save_end_of_checkpoint(s) != 0)
            return -1;
        if (s->stream_type == XC_STREAM_PLAIN)
            break;
        s->live = false;
        rc = checkpoint(s);
        if (rc == 0) /* as libxc: the graceful end is logged as a failure, and returns 0 */
            log_errno(s->xch, "Save failed");
        if (rc <= 0)
            return rc;
    } while (true);
    report_progress(s->xch, "End of stream", 0, 0);
    if (save_record(s, REC_END, NULL, 0) != 0)
        return -1;
    report_progress(s->xch, "Complete", 0, 0);
    return 0;
}

int xc_domain_save(xc_interface *xch, int io_fd, uint32_t dom, uint32_t flags,
                   struct save_callbacks *callbacks, xc_stream_type_t stream_type, int recv_fd)
{
    (void)recv_fd; /* COLO's back channel */
    struct simxen_reply reply;
    struct save *s = calloc(1, sizeof *s);
    if (s == NULL)
        return -1;
    s->xch = xch;
    s->fd = io_fd;
    s->domid = dom;
    s->flags = flags;
    s->callbacks = callbacks;
    s->stream_type = stream_type;
    s->live = (flags & XCFLAGS_LIVE) != 0;
    s->memory.fd = -1;
    s->relay = (struct relay){.read_end = -1, .write_end = -1};
    dirty_init(&s->log, &s->memory);
    int rc = domain_info(xch, dom, &reply);
    if (rc != 0) {
        log_errno(xch, "Failed to get dominfo");
    } else {
        memcpy(s->info, reply.val, sizeof s->info);
        rc = check_call(s);
    }
    if (rc == 0) {
        log_at(xch, XTL_DETAIL, "fd %d, dom %u, flags %u, hvm %d", io_fd, dom, flags,
               s->info[SIMXEN_INFO_TYPE] == SIMXEN_HVM);
        log_at(xch, XTL_INFO, "Saving domain %u, type %s", dom,
               type_name((enum simxen_type)s->info[SIMXEN_INFO_TYPE]));
        rc = save(s);
        if (rc < 0)
            log_errno(xch, "Save failed");
    }
    clean_up(s);
    int saved = errno;
    free(s);
    errno = saved;
    return rc;
}
