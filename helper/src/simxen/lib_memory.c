/* Map a domain: the host hands over two memfds and says what they are. */
#define _GNU_SOURCE
#include "lib_memory.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif
#define MAP_AHEAD (UINT64_C(4) << 30) /* some 0.3 s, in which nothing can interrupt us */

/* Whole mapping of fd, which must be `size` long: past its end an access would be SIGBUS. */
static void *map_whole(int fd, uint64_t size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return NULL;
    if (st.st_size < 0 || (uint64_t)st.st_size < size) {
        errno = EIO;
        return NULL;
    }
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

static int take_facts(struct domain_memory *m, const uint64_t *val)
{
    uint64_t pages = val[SIMXEN_MAP_PAGES], type = val[SIMXEN_MAP_TYPE], pid = val[SIMXEN_MAP_PID];
    if (pages == 0 || pages > SIMXEN_MAX_PAGES || pid > INT32_MAX ||
        (type != SIMXEN_PV && type != SIMXEN_HVM)) {
        errno = EIO;
        return -1;
    }
    m->nr_pages = pages;
    m->type = (enum simxen_type)type;
    m->guest_pid = (int)pid;
    m->guest_address = val[SIMXEN_MAP_ADDRESS];
    return 0;
}

static int map_both(struct domain_memory *m, int memory_fd, int vcpu_fd)
{
    m->pages = map_whole(memory_fd, m->nr_pages * SIMXEN_PAGE_SIZE);
    uint8_t *vcpu_file = m->pages ? map_whole(vcpu_fd, simxen_vcpu_file_size(m->nr_pages)) : NULL;
    if (vcpu_file == NULL)
        return -1;
    m->vcpu = (struct simxen_vcpu *)vcpu_file;
    m->guest_bitmap = (uint64_t *)(vcpu_file + simxen_guest_bitmap(m->nr_pages));
    m->dm_bitmap = (uint64_t *)(vcpu_file + simxen_dm_bitmap(m->nr_pages));
    if (memcmp(m->vcpu->magic, SIMXEN_VCPU_MAGIC, sizeof m->vcpu->magic) == 0)
        return 0;
    errno = EIO;
    return -1;
}

int memory_map(xc_interface *xch, uint32_t domid, struct domain_memory *m)
{
    struct simxen_request request = {.op = SIMXEN_MAP, .domid = domid};
    struct simxen_reply reply;
    int fds[2];
    memset(m, 0, sizeof *m);
    m->fd = -1;
    if (host_call(xch, &request, &reply, fds, 2) < 0)
        return -1;
    m->fd = fds[0];
    int rc = take_facts(m, reply.val);
    if (rc == 0)
        rc = map_both(m, fds[0], fds[1]);
    int saved = errno;
    close(fds[1]);
    errno = saved;
    return rc;
}

void memory_unmap(struct domain_memory *m)
{
    if (m->vcpu != NULL)
        munmap(m->vcpu, simxen_vcpu_file_size(m->nr_pages));
    if (m->pages != NULL)
        munmap(m->pages, m->nr_pages * SIMXEN_PAGE_SIZE);
    if (m->fd >= 0)
        close(m->fd);
    m->vcpu = NULL;
    m->pages = NULL;
    m->fd = -1;
}

void memory_map_ahead(const struct domain_memory *m)
{
    uint64_t size = m->nr_pages * SIMXEN_PAGE_SIZE;
    (void)madvise(m->pages, size < MAP_AHEAD ? size : MAP_AHEAD, MADV_POPULATE_READ);
}
