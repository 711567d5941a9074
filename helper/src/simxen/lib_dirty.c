/* Reading the dirty log.
 *
 * Guest writes: with the uffd tracker, PAGEMAP_SCAN on the guest's page table reports written
 * pages and write-protects them again in one step under the page-table lock; with the
 * cooperative tracker, an atomic exchange of the bitmap. Device-model writes: always by bitmap.
 * Either way a page reported now and written later is reported again by the next look. */
#define _GNU_SOURCE
#include "lib_dirty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* <linux/fs.h> of Linux 6.7; a Debian 12 has 6.1's. */
struct page_region {
    uint64_t start, end, categories;
};
struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
_Static_assert(sizeof(struct scan_arg) == 96, "struct pm_scan_arg");
#define SCAN _IOWR('f', 16, struct scan_arg)
#define SCAN_WP_MATCHING (1u << 0)
#define SCAN_CHECK_WPASYNC (1u << 1)
#define PAGE_IS_WRITTEN (1u << 1)

#define REGIONS 4096

void dirty_init(struct dirty_log *log, const struct domain_memory *memory)
{
    *log = (struct dirty_log){.memory = memory, .pidfd = -1, .pagemap_fd = -1};
}

void dirty_close(struct dirty_log *log)
{
    if (log->pidfd >= 0)
        close(log->pidfd);
    if (log->pagemap_fd >= 0)
        close(log->pagemap_fd);
    free(log->regions);
    dirty_init(log, log->memory);
}

/* ---- switching it on ---- */

static int open_guest(struct dirty_log *log)
{
    char path[64];
    int pid = log->memory->guest_pid;
    if (pid == 0)
        return 0;
    log->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (log->pidfd < 0 || log->tracker != SIMXEN_TRACKER_UFFD)
        return log->pidfd < 0 ? -1 : 0;
    snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
    log->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
    log->regions = calloc(REGIONS, sizeof *log->regions);
    if (log->pagemap_fd < 0 && errno == ENOENT)
        errno = ESRCH;
    return log->pagemap_fd < 0 || log->regions == NULL ? -1 : 0;
}

static void forget(uint64_t *bitmap, uint64_t nr_pages)
{
    for (uint64_t i = 0; i < (nr_pages + 63) / 64; i++)
        __atomic_store_n(&bitmap[i], 0, __ATOMIC_SEQ_CST);
}

/* As libxc: somebody's log-dirty may be left on; switch it off and try once more. */
static int enable(xc_interface *xch, uint32_t domid, struct simxen_reply *reply)
{
    struct simxen_request request = {.op = SIMXEN_LOGDIRTY, .domid = domid, .arg = {1}};
    if (host_call(xch, &request, reply, NULL, 0) >= 0)
        return 0;
    if (xc_logdirty_control(xch, domid, SHADOW_OP_OFF, NULL, 0, 0, NULL) < 0)
        log_errno(xch, "Failed to disable logdirty");
    if (host_call(xch, &request, reply, NULL, 0) >= 0)
        return 0;
    log_errno(xch, "Failed to enable logdirty");
    return -1;
}

int dirty_enable(struct dirty_log *log, xc_interface *xch, uint32_t domid)
{
    struct simxen_reply reply;
    if (enable(xch, domid, &reply) != 0)
        return -1;
    log->tracker = (enum simxen_tracker)reply.val[0];
    if (reply.val[0] != SIMXEN_TRACKER_UFFD && reply.val[0] != SIMXEN_TRACKER_BITMAP) {
        errno = EIO;
        log_errno(xch, "Host has no dirty tracker we know");
        return -1;
    }
    if (open_guest(log) != 0) {
        log_errno(xch, "Failed to watch guest process %d", log->memory->guest_pid);
        return -1;
    }
    forget(log->memory->guest_bitmap, log->memory->nr_pages);
    forget(log->memory->dm_bitmap, log->memory->nr_pages);
    return 0;
}

/* ---- reading it ---- */

static void set_range(uint64_t *bitmap, uint64_t first, uint64_t end)
{
    for (; first < end && first % 64; first++)
        bitmap[first / 64] |= UINT64_C(1) << (first % 64);
    for (; first + 64 <= end; first += 64)
        bitmap[first / 64] = UINT64_MAX;
    for (; first < end; first++)
        bitmap[first / 64] |= UINT64_C(1) << (first % 64);
}

static int take_regions(struct dirty_log *log, long count, uint64_t *bitmap)
{
    uint64_t base = log->memory->guest_address, size = log->memory->nr_pages * SIMXEN_PAGE_SIZE;
    for (long i = 0; i < count; i++) {
        uint64_t start = log->regions[i].start - base, end = log->regions[i].end - base;
        if (start >= end || end > size) {
            errno = EIO;
            return -1;
        }
        set_range(bitmap, start >> SIMXEN_PAGE_SHIFT, end >> SIMXEN_PAGE_SHIFT);
    }
    return 0;
}

static int scan_pagemap(struct dirty_log *log, uint64_t *bitmap, bool clean)
{
    struct scan_arg arg = {
        .size = sizeof arg,
        .flags = (clean ? SCAN_WP_MATCHING : 0) | SCAN_CHECK_WPASYNC,
        .start = log->memory->guest_address,
        .end = log->memory->guest_address + log->memory->nr_pages * SIMXEN_PAGE_SIZE,
        .vec = (uint64_t)(uintptr_t)log->regions,
        .vec_len = REGIONS,
        .category_mask = PAGE_IS_WRITTEN,
        .return_mask = PAGE_IS_WRITTEN,
    };
    while (arg.start < arg.end) {
        int count = ioctl(log->pagemap_fd, SCAN, &arg);
        if (count < 0 || take_regions(log, count, bitmap) != 0)
            return -1;
        if (arg.walk_end <= arg.start) { /* no step forward: would loop for ever */
            errno = EIO;
            return -1;
        }
        arg.start = arg.walk_end;
    }
    return 0;
}

static void take_bitmap(uint64_t *from, uint64_t nr_pages, uint64_t *bitmap, bool clean)
{
    uint64_t words = (nr_pages + 63) / 64;
    for (uint64_t i = 0; i < words; i++) {
        /* A plain look first: an exchange of every clean word would pull each cache line over. */
        uint64_t found = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
        if (found != 0)
            bitmap[i] |= clean ? __atomic_exchange_n(&from[i], 0, __ATOMIC_SEQ_CST) : found;
    }
    if (nr_pages % 64) /* bits behind the last page are nobody's */
        bitmap[words - 1] &= (UINT64_C(1) << (nr_pages % 64)) - 1;
}

static int guest_died(const struct dirty_log *log)
{
    struct pollfd p = {.fd = log->pidfd, .events = POLLIN};
    return log->pidfd >= 0 && poll(&p, 1, 0) > 0;
}

static int64_t read_log(struct dirty_log *log, uint64_t *bitmap, bool clean)
{
    const struct domain_memory *m = log->memory;
    uint64_t words = (m->nr_pages + 63) / 64;
    memset(bitmap, 0, words * sizeof *bitmap);
    int rc = log->pagemap_fd >= 0 ? scan_pagemap(log, bitmap, clean) : 0;
    if (guest_died(log)) { /* its page table is gone: what was read means nothing */
        errno = ESRCH;
        return -1;
    }
    if (rc != 0)
        return -1;
    take_bitmap(m->guest_bitmap, m->nr_pages, bitmap, clean);
    take_bitmap(m->dm_bitmap, m->nr_pages, bitmap, clean);
    int64_t count = 0;
    for (uint64_t i = 0; i < words; i++)
        count += __builtin_popcountll(bitmap[i]);
    return count;
}

int64_t dirty_clean(struct dirty_log *log, uint64_t *bitmap)
{
    return read_log(log, bitmap, true);
}

static int64_t peek(struct dirty_log *log)
{
    log->tracker = (enum simxen_tracker)log->memory->vcpu->tracker_state;
    if (open_guest(log) != 0)
        return -1;
    uint64_t *bitmap = calloc((log->memory->nr_pages + 63) / 64, sizeof *bitmap);
    int64_t count = bitmap == NULL ? -1 : read_log(log, bitmap, false);
    int saved = errno;
    free(bitmap);
    errno = saved;
    return count;
}

int64_t dirty_peek(xc_interface *xch, uint32_t domid)
{
    struct domain_memory memory = {.fd = -1};
    struct dirty_log log;
    if (memory_map(xch, domid, &memory) != 0)
        return -1;
    dirty_init(&log, &memory);
    int64_t count = peek(&log);
    int saved = errno;
    dirty_close(&log);
    memory_unmap(&memory);
    errno = saved;
    return count;
}

int dirty_forget(xc_interface *xch, uint32_t domid)
{
    struct domain_memory memory = {.fd = -1};
    int rc = memory_map(xch, domid, &memory);
    if (rc == 0) {
        forget(memory.guest_bitmap, memory.nr_pages);
        forget(memory.dm_bitmap, memory.nr_pages);
    }
    int saved = errno;
    memory_unmap(&memory);
    errno = saved;
    return rc;
}
