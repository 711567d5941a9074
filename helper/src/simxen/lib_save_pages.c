/* Pages to bytes: batches of BATCH_PAGES, written straight from the domain's memory.
 *
 * A pipe's writer and reader exclude each other while they copy. So pages are copied into a pipe
 * of our own and their buffers handed over from there, which costs nothing: our copying and page
 * faults overlap with the reader's work. The header goes by a write of its own, so that every
 * page fills exactly one buffer. Into a regular file long runs of pages go by splice, which needs
 * no mapping at all. Either way the bytes were copied when the call returns, so that a guest that
 * is resumed while they wait in a pipe can't change them. */
#include "lib_save.h"

#define PROGRESS_STEP 1024 /* pages: every 4 MiB, as libxc */
#define SPLICE_RUN 16      /* pages of an average run from which splices beat one writev */

static void add_header(struct save *s)
{
    struct batch *b = &s->batch;
    uint32_t count = b->data.count;
    b->record.type = REC_PAGE_DATA;
    b->record.length = (uint32_t)(sizeof b->data + count * (sizeof *b->pfn + SIMXEN_PAGE_SIZE));
    s->vector[0] = (struct iovec){b, offsetof(struct batch, pfn) + count * sizeof *b->pfn};
}

/* Vector elements for the batch's pages from vector[1] on; returns their number. */
static int add_runs(struct save *s)
{
    int last = 0;
    for (uint32_t i = 0; i < s->batch.data.count; i++) {
        uint8_t *page = s->memory.pages + s->batch.pfn[i] * SIMXEN_PAGE_SIZE;
        struct iovec *run = &s->vector[last];
        if (last > 0 && (uint8_t *)run->iov_base + run->iov_len == page)
            run->iov_len += SIMXEN_PAGE_SIZE;
        else
            s->vector[++last] = (struct iovec){page, SIMXEN_PAGE_SIZE};
    }
    return last;
}

/* The front of the vector by relay: elements that fit a step, or a step of a long one.
 * Elements used up, or -1. */
static int relay_step(struct save *s, struct iovec *vector, int count)
{
    size_t limit = relay_capacity(&s->relay), bytes = 0;
    int whole = 0;
    while (whole < count && bytes + vector[whole].iov_len <= limit)
        bytes += vector[whole++].iov_len;
    if (whole > 0)
        return relay_write(s->fd, &s->relay, vector, whole, bytes) == 0 ? whole : -1;
    struct iovec front = {vector->iov_base, limit};
    vector->iov_base = (uint8_t *)vector->iov_base + limit;
    vector->iov_len -= limit;
    return relay_write(s->fd, &s->relay, &front, 1, limit) == 0 ? 0 : -1;
}

static int relay_runs(struct save *s, struct iovec *vector, int count)
{
    while (count > 0) {
        int used = relay_step(s, vector, count);
        if (used < 0)
            return -1;
        vector += used;
        count -= used;
    }
    return 0;
}

static int splice_runs(struct save *s, struct iovec *vector, int count)
{
    for (int i = 0; i < count; i++) {
        uint64_t offset = (uint64_t)((uint8_t *)vector[i].iov_base - s->memory.pages);
        int rc = splice_from_file(s->fd, &s->relay, s->memory.fd, offset, vector[i].iov_len);
        if (rc == 1) /* only ever for the first run */
            return io_write_vector(s->fd, vector + i, count - i);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* Header in vector[0], `runs` elements of pages behind it. */
static int write_vector(struct save *s, int runs)
{
    bool long_runs = s->batch.data.count / SPLICE_RUN >= (uint32_t)runs;
    if (!relay_usable(&s->relay) || !(s->is_pipe || long_runs))
        return io_write_vector(s->fd, s->vector, runs + 1);
    if (io_write_vector(s->fd, s->vector, 1) != 0)
        return -1;
    return s->is_pipe ? relay_runs(s, s->vector + 1, runs) : splice_runs(s, s->vector + 1, runs);
}

static int write_batch(struct save *s)
{
    if (s->batch.data.count == 0)
        return 0;
    add_header(s);
    int rc = write_vector(s, add_runs(s));
    s->batch.data.count = 0;
    if (rc != 0)
        log_errno(s->xch, "Failed to write page data to stream");
    return rc;
}

static int add_page(struct save *s, uint64_t pfn)
{
    s->batch.pfn[s->batch.data.count++] = pfn; /* type 0: an ordinary page */
    return s->batch.data.count == BATCH_PAGES ? write_batch(s) : 0;
}

int save_pages(struct save *s, uint64_t entries)
{
    uint64_t written = 0;
    for (uint64_t word = 0; word < (s->memory.nr_pages + 63) / 64; word++) {
        for (uint64_t bits = s->bitmap[word]; bits != 0; bits &= bits - 1) {
            if (add_page(s, word * 64 + (uint64_t)__builtin_ctzll(bits)) != 0)
                return -1;
            if (written++ % PROGRESS_STEP == 0)
                report_progress(s->xch, s->pass, written - 1, entries);
        }
    }
    if (write_batch(s) != 0)
        return -1;
    report_progress(s->xch, s->pass, entries, entries);
    return 0;
}
