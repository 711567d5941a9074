/* Which pages are sent when: all at once, or precopy rounds while the guest runs.
 *
 * The order of policy calls, counters and bitmap reads is libxc's exactly
 * (Xen: tools/libs/guest/xg_sr_save.c, send_memory_live()). */
#include "lib_save.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* libxc's default policy. */
#define POLICY_MAX_ITERATIONS 5
#define POLICY_TARGET_DIRTY 50

static int simple_policy(struct precopy_stats stats, void *data)
{
    (void)data;
    bool few = stats.dirty_count >= 0 && stats.dirty_count < POLICY_TARGET_DIRTY;
    return few || stats.iteration >= POLICY_MAX_ITERATIONS ? POLICY_STOP : POLICY_CONTINUE;
}

static int ask_policy(struct save *s)
{
    if (s->callbacks->precopy_policy == NULL)
        return simple_policy(s->stats, NULL);
    return s->callbacks->precopy_policy(s->stats, s->callbacks->data);
}

static void select_all(struct save *s)
{
    uint64_t pages = s->memory.nr_pages;
    memset(s->bitmap, 0xff, pages / 64 * 8);
    if (pages % 64)
        s->bitmap[pages / 64] = (UINT64_C(1) << (pages % 64)) - 1;
}

static void name_iteration(struct save *s)
{
    snprintf(s->pass, sizeof s->pass, "Frames iteration %u", s->stats.iteration);
}

static int64_t read_log(struct save *s)
{
    int64_t count = dirty_clean(&s->log, s->bitmap);
    if (count < 0)
        log_errno(s->xch, "Failed to retrieve logdirty bitmap");
    return count;
}

/* Precopy while the guest runs. Every page taken off the log is sent before this returns 0. */
static int precopy(struct save *s)
{
    struct precopy_stats *stats = &s->stats;
    int decision;
    *stats = (struct precopy_stats){.dirty_count = (long)s->memory.nr_pages};
    select_all(s);
    for (unsigned round = 1;; round++) {
        decision = ask_policy(s);
        if (stats->dirty_count > 0 && decision != POLICY_ABORT) {
            name_iteration(s);
            if (save_pages(s, (uint64_t)stats->dirty_count) != 0)
                return -1;
        }
        if (decision != POLICY_CONTINUE)
            break;
        stats->iteration = round;
        stats->total_written += (unsigned long)stats->dirty_count;
        stats->dirty_count = -1;
        decision = ask_policy(s);
        if (decision != POLICY_CONTINUE)
            break;
        int64_t count = read_log(s);
        if (count < 0)
            return -1;
        stats->dirty_count = (long)count;
    }
    if (decision != POLICY_ABORT)
        return 0;
    errno = ECANCELED;
    log_errno(s->xch, "Abort precopy loop");
    return -1;
}

static int refresh_info(struct save *s)
{
    struct simxen_reply reply;
    if (domain_info(s->xch, s->domid, &reply) != 0) {
        log_errno(s->xch, "Unable to refresh domain information");
        return -1;
    }
    memcpy(s->info, reply.val, sizeof s->info);
    return 0;
}

/* Ask for the suspend, then believe the host only. */
static int suspend(struct save *s)
{
    int answer = s->callbacks->suspend(s->callbacks->data);
    if (answer == 0) {
        log_error(s->xch, "save callback suspend() failed: %d", answer);
        errno = ECANCELED;
        return -1;
    }
    if (refresh_info(s) != 0)
        return -1;
    bool down = s->info[SIMXEN_INFO_FLAGS] & XEN_DOMINF_SHUTDOWN;
    if (!down || s->info[SIMXEN_INFO_REASON] != SHUTDOWN_SUSPEND) {
        log_error(s->xch, "Domain has not been suspended: shutdown %d, reason %d", down,
                  (int)s->info[SIMXEN_INFO_REASON]);
        errno = EBUSY;
        return -1;
    }
    report_progress(s->xch, "Domain now suspended", 0, 0);
    return 0;
}

static int suspend_and_send_dirty(struct save *s)
{
    if (suspend(s) != 0)
        return -1;
    int64_t count = read_log(s);
    if (count < 0)
        return -1;
    if (s->live)
        name_iteration(s);
    else
        snprintf(s->pass, sizeof s->pass, "Checkpointed save");
    return save_pages(s, (uint64_t)count);
}

/* XCFLAGS_DEBUG: everything once more, for the receiver to compare. */
static int verify(struct save *s)
{
    if (save_record(s, REC_VERIFY, NULL, 0) != 0)
        return -1;
    snprintf(s->pass, sizeof s->pass, "Frames verify");
    select_all(s);
    if (save_pages(s, s->memory.nr_pages) != 0)
        return -1;
    int64_t count = read_log(s);
    if (count > 0)
        log_error(s->xch, "%ld pages were written while the domain was suspended", (long)count);
    return count < 0 ? -1 : 0;
}

static int save_live(struct save *s)
{
    if (dirty_enable(&s->log, s->xch, s->domid) != 0 || precopy(s) != 0 ||
        suspend_and_send_dirty(s) != 0)
        return -1;
    bool wanted = (s->flags & XCFLAGS_DEBUG) && s->stream_type == XC_STREAM_PLAIN;
    return wanted ? verify(s) : 0;
}

static int save_nonlive(struct save *s)
{
    if (suspend(s) != 0)
        return -1;
    select_all(s);
    snprintf(s->pass, sizeof s->pass, "Frames");
    return save_pages(s, s->memory.nr_pages);
}

int save_memory(struct save *s)
{
    if (s->live)
        return save_live(s);
    if (s->stream_type != XC_STREAM_PLAIN)
        return suspend_and_send_dirty(s);
    return save_nonlive(s);
}
