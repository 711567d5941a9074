/* A reference for the bench: moves a domain's memory the way libxenguest 4.17 lays it out.
 *
 * Build: cc -std=gnu11 -O2 -o libxc_layout libxc_layout.c
 *
 *   libxc_layout save FD MIB     write MIB of filled memory to FD
 *   libxc_layout restore FD MIB  read such a stream from FD into fresh memory of MIB
 *   libxc_layout drain FD        read until the end, into one 1 MiB buffer
 *   libxc_layout memcpy MIB      copy MIB of filled memory once, both sides mapped and touched
 *
 * Sender: batches of 1024 pages; record header, page-data header, pfns and one vector element per
 * page go out by writev, IOV_MAX elements a call. Receiver: each record is read whole into
 * malloc'ed memory, then its pages are copied one by one into memory that was never touched.
 * Not done, in the reference's favour: mapping and unmapping each batch, type queries.
 *
 * Prints one JSON line on standard output (FD should be another): {"what": ..., "bytes": of memory or stream, "seconds": wall time from the
 * first byte to the last, "cpu_seconds": of this process in that time}. Preparing memory is not
 * counted. Exit status 0, or 1 and a line on standard error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define BATCH 1024u
#define PAGE_DATA 1u
#define END 0u
#define MAX_RECORD (128u << 20)
#define HEADERS 3

struct record {
    uint32_t type, length;
};
struct page_data {
    uint32_t count, reserved;
};

static void die(const char *what)
{
    fprintf(stderr, "libxc_layout: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- exact I/O, as libxc's ---- */

static void read_exact(int fd, void *to, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)to + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EPIPE;
        if (n <= 0)
            die("read");
        done += (size_t)n;
    }
}

static void writev_exact(int fd, struct iovec *vector, int count)
{
    while (count > 0) {
        ssize_t n = writev(fd, vector, count < IOV_MAX ? count : IOV_MAX);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("writev");
        for (; count > 0 && (size_t)n >= vector->iov_len; vector++, count--)
            n -= (ssize_t)vector->iov_len;
        if (n > 0) {
            vector->iov_base = (char *)vector->iov_base + n;
            vector->iov_len -= (size_t)n;
        }
    }
}

/* ---- memory ---- */

static uint8_t *fresh_memory(uint64_t size)
{
    int fd = memfd_create("libxc_layout", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        die("memfd");
    uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    return memory;
}

static uint8_t *filled_memory(uint64_t size)
{
    uint8_t *memory = fresh_memory(size);
    for (uint64_t i = 0; i < size / 8; i++)
        ((uint64_t *)(void *)memory)[i] = i * UINT64_C(0x9e3779b97f4a7c15);
    return memory;
}

/* ---- the four commands; each returns the bytes it moved ---- */

static uint64_t save(int fd, uint8_t *memory, uint64_t size)
{
    static uint64_t pfns[BATCH];
    static struct iovec vector[HEADERS + BATCH];
    for (uint64_t pfn = 0; pfn < size / PAGE;) {
        uint32_t count = 0;
        for (; count < BATCH && pfn < size / PAGE; count++, pfn++) {
            pfns[count] = pfn;
            vector[HEADERS + count] = (struct iovec){memory + pfn * PAGE, PAGE};
        }
        struct page_data head = {.count = count};
        struct record record = {.type = PAGE_DATA,
                                .length = (uint32_t)(sizeof head + count * (sizeof *pfns + PAGE))};
        vector[0] = (struct iovec){&record, sizeof record};
        vector[1] = (struct iovec){&head, sizeof head};
        vector[2] = (struct iovec){pfns, count * sizeof *pfns};
        writev_exact(fd, vector, (int)(HEADERS + count));
    }
    struct record end = {.type = END};
    writev_exact(fd, &(struct iovec){&end, sizeof end}, 1);
    return size;
}

static void take_pages(const uint8_t *body, uint32_t length, uint8_t *memory, uint64_t size)
{
    struct page_data head;
    memcpy(&head, body, sizeof head);
    const uint64_t *pfns = (const uint64_t *)(const void *)(body + sizeof head);
    if (length != sizeof head + head.count * (sizeof *pfns + (uint64_t)PAGE)) {
        errno = EBADMSG;
        die("page data");
    }
    const uint8_t *page = (const uint8_t *)(pfns + head.count);
    for (uint32_t i = 0; i < head.count; i++, page += PAGE) {
        if (pfns[i] >= size / PAGE) {
            errno = EBADMSG;
            die("pfn");
        }
        memcpy(memory + pfns[i] * PAGE, page, PAGE);
    }
}

static uint64_t restore(int fd, uint8_t *memory, uint64_t size)
{
    for (;;) {
        struct record record;
        read_exact(fd, &record, sizeof record);
        if (record.type == END)
            return size;
        if (record.type != PAGE_DATA || record.length < sizeof(struct page_data) ||
            record.length > MAX_RECORD) {
            errno = EBADMSG;
            die("record");
        }
        uint8_t *body = malloc(record.length);
        if (body == NULL)
            die("malloc");
        read_exact(fd, body, record.length);
        take_pages(body, record.length, memory, size);
        free(body);
    }
}

static uint64_t drain(int fd)
{
    static char buffer[1 << 20];
    uint64_t bytes = 0;
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("read");
        if (n == 0)
            return bytes;
        bytes += (uint64_t)n;
    }
}

/* ---- timing ---- */

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int with_fd = strcmp(what, "memcpy") != 0, with_size = strcmp(what, "drain") != 0;
    if (argc != 2 + with_fd + with_size) {
        fprintf(stderr, "usage: libxc_layout save|restore FD MIB | drain FD | memcpy MIB\n");
        return 1;
    }
    int fd = with_fd ? atoi(argv[2]) : -1;
    uint64_t size = with_size ? strtoull(argv[argc - 1], NULL, 10) << 20 : 0;
    uint8_t *from = NULL, *to = NULL;
    if (strcmp(what, "save") == 0 || strcmp(what, "memcpy") == 0)
        from = filled_memory(size);
    if (strcmp(what, "restore") == 0)
        to = fresh_memory(size);
    if (strcmp(what, "memcpy") == 0)
        memset(to = fresh_memory(size), 1, size);
    if (to != NULL ? with_fd : !with_size) /* a reader's clock starts with the first byte */
        (void)poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
    double wall_start = wall(), cpu_start = cpu();
    uint64_t bytes = size;
    if (strcmp(what, "save") == 0)
        bytes = save(fd, from, size);
    else if (strcmp(what, "restore") == 0)
        bytes = restore(fd, to, size);
    else if (strcmp(what, "drain") == 0)
        bytes = drain(fd);
    else
        memcpy(to, from, size);
    double seconds = wall() - wall_start, cpu_seconds = cpu() - cpu_start;
    printf("{\"what\": \"%s\", \"bytes\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n", what,
           (unsigned long long)bytes, seconds, cpu_seconds);
    return 0;
}
