/* Dirty tracking of the guest's own writes, armed and disarmed by the guest itself.
 *
 * userfaultfd in WP_ASYNC mode: the kernel notes the first write to each page in the page table
 * and resolves the fault by itself; libsimxen reads and re-arms with PAGEMAP_SCAN on our pagemap.
 * It sees writes through this mapping only, as Xen's log-dirty sees the vcpus' writes only: the
 * device model logs by itself. Where the kernel refuses, the guest keeps a bitmap. */
#define _GNU_SOURCE
#include "common_futex.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>

/* Newer than the headers of a Debian 12 (Linux 6.1); values of the kernel's own header. */
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* USER_MODE_ONLY needs no privilege, and no system call ever writes to this memory for us. */
static int open_uffd(void)
{
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED |
                    UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
    };
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fd < 0)
        return -1;
    if (ioctl(fd, UFFDIO_API, &api) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static struct uffdio_range whole_memory(const struct guest *g)
{
    return (struct uffdio_range){.start = (uint64_t)(uintptr_t)g->memory,
                                 .len = g->nr_pages * SIMXEN_PAGE_SIZE};
}

static void unregister(struct guest *g)
{
    struct uffdio_range range = whole_memory(g);
    (void)ioctl(g->uffd, UFFDIO_UNREGISTER, &range);
}

static int arm_uffd(struct guest *g)
{
    struct uffdio_register reg = {.range = whole_memory(g), .mode = UFFDIO_REGISTER_MODE_WP};
    struct uffdio_writeprotect protect = {.range = whole_memory(g),
                                          .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    if (g->uffd < 0)
        g->uffd = open_uffd();
    if (g->uffd < 0 || ioctl(g->uffd, UFFDIO_REGISTER, &reg) != 0)
        return -1;
    if (ioctl(g->uffd, UFFDIO_WRITEPROTECT, &protect) == 0)
        return 0;
    int saved = errno;
    unregister(g);
    errno = saved;
    return -1;
}

static uint32_t arm(struct guest *g)
{
    uint32_t kind = load_word(&g->vcpu->tracker_kind);
    g->vcpu->tracker_errno = 0;
    if (kind != SIMXEN_KIND_BITMAP) {
        if (arm_uffd(g) == 0)
            return SIMXEN_TRACKER_UFFD;
        g->vcpu->tracker_errno = (uint32_t)errno;
        if (kind == SIMXEN_KIND_UFFD)
            return SIMXEN_TRACKER_FAILED;
    }
    g->logging = true;
    return SIMXEN_TRACKER_BITMAP;
}

static uint32_t disarm(struct guest *g, uint32_t state)
{
    if (state == SIMXEN_TRACKER_UFFD)
        unregister(g);
    g->logging = false;
    return SIMXEN_TRACKER_OFF;
}

void guest_tracker_follow(struct guest *g)
{
    struct simxen_vcpu *v = g->vcpu;
    uint32_t wanted = load_word(&v->tracker_wanted), state = load_word(&v->tracker_state);
    if ((wanted != 0) == (state != SIMXEN_TRACKER_OFF))
        return;
    store_word(&v->tracker_state, wanted ? arm(g) : disarm(g, state));
    futex_ring(&v->ack);
}
