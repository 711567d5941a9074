/* For the host and the tests: field offsets of the vcpu page, and checking a whole memory. */
#include "simxen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHUNK_PAGES 256u

static const struct {
    const char *name;
    size_t offset;
} FIELDS[] = {
#define FIELD(f) {#f, offsetof(struct simxen_vcpu, f)}
#define ARCH(f) {"arch." #f, offsetof(struct simxen_vcpu, arch.f)}
    FIELD(magic),         FIELD(command),        FIELD(state),          FIELD(tracker_wanted),
    FIELD(tracker_state), FIELD(tracker_kind),   FIELD(fill),           FIELD(mapping),
    FIELD(nr_pages),      FIELD(guest_pages),    FIELD(doorbell),       FIELD(ack),
    FIELD(restored),      FIELD(tracker_errno),  FIELD(arch),           ARCH(guest_id),
    ARCH(counter),        ARCH(rng),             ARCH(digest),          ARCH(rate),
    ARCH(pattern),        ARCH(reserved),        ARCH(hot_pages),       ARCH(restored_count),
    ARCH(suspend_count),
};

int64_t simxen_offset(const char *field)
{
    for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++) {
        const char *name = FIELDS[i].name, *dot = strchr(name, '.');
        if (strcmp(name, field) == 0 || (dot != NULL && strcmp(dot + 1, field) == 0))
            return (int64_t)FIELDS[i].offset;
    }
    return -1;
}

/* By pread, not by mapping: reading a hole through a mapping would allocate it. */
static int read_pages(int fd, uint8_t *buffer, uint64_t first, uint64_t count)
{
    size_t size = count * SIMXEN_PAGE_SIZE;
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, buffer + done, size - done,
                          (off_t)(first * SIMXEN_PAGE_SIZE + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENXIO; /* the file is shorter than nr_pages */
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    return 0;
}

int64_t simxen_verify(int memory_fd, uint64_t nr_pages, uint64_t *digest, uint64_t *first_bad)
{
    int64_t bad = 0;
    uint8_t *buffer = malloc(CHUNK_PAGES * SIMXEN_PAGE_SIZE);
    if (buffer == NULL)
        return -1;
    *digest = 0;
    *first_bad = nr_pages;
    for (uint64_t pfn = 0, count; pfn < nr_pages; pfn += count) {
        count = nr_pages - pfn < CHUNK_PAGES ? nr_pages - pfn : CHUNK_PAGES;
        if (read_pages(memory_fd, buffer, pfn, count) != 0) {
            bad = -1;
            break;
        }
        for (uint64_t i = 0; i < count; i++) {
            const uint8_t *page = buffer + i * SIMXEN_PAGE_SIZE;
            *digest += simxen_page_mix(pfn + i, ((const uint64_t *)(const void *)page)[1]);
            if (simxen_page_check(page, pfn + i))
                continue;
            if (bad++ == 0)
                *first_bad = pfn + i;
        }
    }
    free(buffer);
    return bad;
}
