/* simxen-guest MEMFD_FD VCPU_FD NR_PAGES PARENT_PID: one domain's guest, as a process.
 *
 * The host creates memory and vcpu page as memfds and passes them; this program maps them, then
 * runs (guest_run.c) until told to exit or until the host dies. */
#include "guest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what)
{
    fprintf(stderr, "simxen-guest: %s: %s\n", what, strerror(errno));
    return 1;
}

/* A decimal number up to max, nothing else. */
static bool parse(const char *text, uint64_t max, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value <= max;
}

/* Map fd whole; it must have at least `size` bytes, or a later access would be SIGBUS. */
static void *map_fd(int fd, uint64_t size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return NULL;
    if (st.st_size < 0 || (uint64_t)st.st_size < size) {
        errno = EINVAL;
        return NULL;
    }
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Die with the host. It may have died before prctl(): then the parent is another process. */
static bool follow_parent(uint64_t parent_pid)
{
    return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && (uint64_t)getppid() == parent_pid;
}

static bool check_vcpu(const struct guest *g)
{
    const struct simxen_vcpu *v = g->vcpu;
    return memcmp(v->magic, SIMXEN_VCPU_MAGIC, sizeof v->magic) == 0 &&
           v->nr_pages == g->nr_pages && v->guest_pages <= g->nr_pages;
}

int main(int argc, char **argv)
{
    uint64_t memory_fd, vcpu_fd, parent_pid;
    struct guest g = {.uffd = -1};
    if (argc != 5 || !parse(argv[1], INT32_MAX, &memory_fd) || !parse(argv[2], INT32_MAX, &vcpu_fd) ||
        !parse(argv[3], SIMXEN_MAX_PAGES, &g.nr_pages) || !parse(argv[4], INT32_MAX, &parent_pid) ||
        g.nr_pages == 0) {
        fprintf(stderr, "usage: simxen-guest MEMFD_FD VCPU_FD NR_PAGES PARENT_PID\n");
        return 2;
    }
    if (!follow_parent(parent_pid)) {
        fprintf(stderr, "simxen-guest: process %s is not my parent\n", argv[4]);
        return 1;
    }
    g.memory = map_fd((int)memory_fd, g.nr_pages * SIMXEN_PAGE_SIZE);
    if (g.memory == NULL)
        return fail("memory");
    uint8_t *vcpu_file = map_fd((int)vcpu_fd, simxen_vcpu_file_size(g.nr_pages));
    if (vcpu_file == NULL)
        return fail("vcpu page");
    g.vcpu = (struct simxen_vcpu *)vcpu_file;
    g.bitmap = (uint64_t *)(vcpu_file + simxen_guest_bitmap(g.nr_pages));
    if (!check_vcpu(&g)) {
        fprintf(stderr, "simxen-guest: the vcpu page does not fit\n");
        return 1;
    }
    g.guest_pages = g.vcpu->guest_pages ? g.vcpu->guest_pages : g.nr_pages;
    guest_run(&g);
    return 0;
}
