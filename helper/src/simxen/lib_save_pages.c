/* Pages to bytes: batches of BATCH_PAGES, written straight from the domain's memory.
 *
 * Into a pipe the header goes by a write of its own: the pages' write then starts a new pipe
 * buffer, every page fills exactly one, and the kernel copies whole pages on both sides (1.5 to 2
 * times faster). Neighbouring pages go as one vector element; into a regular file, long runs of
 * them by splice. Either way the bytes were copied when the call returns, so that a guest that is
 * resumed while they wait in a pipe can't change them. */
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

static int splice_runs(struct save *s, int runs)
{
    for (int i = 1; i <= runs; i++) {
        uint64_t offset = (uint64_t)((uint8_t *)s->vector[i].iov_base - s->memory.pages);
        int rc = splice_from_file(s->fd, &s->relay, s->memory.fd, offset, s->vector[i].iov_len);
        if (rc == 1) /* only ever for the first run */
            return io_write_vector(s->fd, s->vector + i, runs + 1 - i);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static int write_parts(struct save *s, int runs, bool splice)
{
    if (!s->is_pipe && !splice)
        return io_write_vector(s->fd, s->vector, runs + 1);
    if (io_write_vector(s->fd, s->vector, 1) != 0)
        return -1;
    return splice ? splice_runs(s, runs) : io_write_vector(s->fd, s->vector + 1, runs);
}

static int write_batch(struct save *s)
{
    uint32_t count = s->batch.data.count;
    if (count == 0)
        return 0;
    add_header(s);
    int runs = add_runs(s);
    bool long_runs = count / SPLICE_RUN >= (uint32_t)runs;
    int rc = write_parts(s, runs, relay_usable(&s->relay) && long_runs);
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
