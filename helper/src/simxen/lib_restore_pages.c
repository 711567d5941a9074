/* PAGE_DATA: from the stream to the domain's memory with as few copies and faults as there are.
 *
 * Getting fresh memory costs more than copying into it, so long runs of pages are spliced into
 * the memfd: the kernel allocates each page and copies over it, no fault, no zeroing. Short runs
 * (pages of a later pass, mostly there already) are read straight into the mapping. Nothing is
 * touched before every number was checked. */
#include "lib_restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_STEP 4096 /* pages: every 16 MiB */
#define SPLICE_RUN 16 /* pages of a run from which one splice beats a share of one readv */

/* Page types of the format; data follows only for some (bits by type). */
#define TYPES_WITH_DATA 0x1e1f /* NOTAB, L1..L4 tables, pinned L1..L4 tables */
#define TYPES_WITHOUT 0xe000   /* BROKEN, XALLOC, XTAB */

static uint64_t pfn_of(uint64_t entry)
{
    return entry & PFN_MASK;
}

static bool has_data(uint64_t entry)
{
    return TYPES_WITH_DATA >> (entry >> PFN_TYPE_SHIFT) & 1;
}

static int grow(struct restore *r, uint32_t count)
{
    if (count <= r->capacity)
        return 0;
    uint64_t *pfns = realloc(r->pfns, count * sizeof *pfns);
    if (pfns != NULL)
        r->pfns = pfns;
    struct iovec *vector = pfns ? realloc(r->vector, count * sizeof *vector) : NULL;
    if (vector == NULL) {
        log_errno(r->xch, "Unable to allocate memory for a batch of %u pages", count);
        return -1;
    }
    r->vector = vector;
    r->capacity = count;
    return 0;
}

/* The count against the record's length and the domain's size, before anything is allocated. */
static int check_count(struct restore *r, const struct page_data_header *h, uint32_t length)
{
    uint64_t pfn_bytes = (uint64_t)h->count * sizeof(uint64_t);
    if (h->reserved != 0)
        return restore_malformed(r, "Reserved bits of a PAGE_DATA record are set");
    if (h->count == 0 || h->count > r->memory.nr_pages || pfn_bytes > length - sizeof *h)
        return restore_malformed(r, "PAGE_DATA record of %u bytes with %u pfns", length, h->count);
    return grow(r, h->count);
}

static void name_pfns(struct restore *r, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        r->named[pfn_of(r->pfns[i]) / 64] |= UINT64_C(1) << pfn_of(r->pfns[i]) % 64;
}

/* Every pfn and type, then the exact length. */
static int check_pfns(struct restore *r, uint32_t count, uint32_t length)
{
    uint64_t data_pages = 0;
    uint64_t pages = r->named ? r->last_pfn + 1 : r->memory.nr_pages;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t entry = r->pfns[i], type_bit = UINT64_C(1) << (entry >> PFN_TYPE_SHIFT);
        if (!(type_bit & (TYPES_WITH_DATA | TYPES_WITHOUT)) || (entry & PFN_RESERVED_MASK))
            return restore_malformed(r, "Invalid type of pfn entry %#lx", (unsigned long)entry);
        if (pfn_of(entry) >= pages)
            return restore_malformed(r, "pfn %#lx outside domain of %#lx pages",
                                     (unsigned long)pfn_of(entry), (unsigned long)pages);
        data_pages += has_data(entry);
    }
    if (length == sizeof(struct page_data_header) + count * sizeof(uint64_t) +
                      data_pages * SIMXEN_PAGE_SIZE) {
        if (r->named != NULL && !r->verifying)
            name_pfns(r, count);
        r->have_page |= data_pages != 0 && !r->verifying;
        return 0;
    }
    return restore_malformed(r, "PAGE_DATA record of %u bytes for %lu pages", length,
                             (unsigned long)data_pages);
}

/* The pages with data as runs of neighbours in memory, in r->vector; returns their number. */
static int find_runs(struct restore *r, uint32_t count)
{
    int runs = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!has_data(r->pfns[i]))
            continue;
        uint8_t *page = r->memory.pages + pfn_of(r->pfns[i]) * SIMXEN_PAGE_SIZE;
        struct iovec *last = runs > 0 ? &r->vector[runs - 1] : NULL;
        if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == page)
            last->iov_len += SIMXEN_PAGE_SIZE;
        else
            r->vector[runs++] = (struct iovec){page, SIMXEN_PAGE_SIZE};
    }
    return runs;
}

static int splice_runs(struct restore *r, int runs)
{
    for (int i = 0; i < runs; i++) {
        uint64_t offset = (uint64_t)((uint8_t *)r->vector[i].iov_base - r->memory.pages);
        int rc = splice_to_file(r->fd, &r->relay, r->memory.fd, offset, r->vector[i].iov_len);
        if (rc == 1) /* only ever for the first run */
            return io_read_vector(r->fd, r->vector + i, runs - i);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static int receive_runs(struct restore *r, uint32_t count)
{
    int runs = find_runs(r, count);
    bool long_runs = count / SPLICE_RUN >= (uint32_t)runs;
    if (long_runs && relay_usable(&r->relay))
        return splice_runs(r, runs);
    return io_read_vector(r->fd, r->vector, runs);
}

/* libxc says nothing of its pages; but what is spliced shows in no counter of the kernel's, and
 * who waits wants to see how far it is. */
static void count_pages(struct restore *r, uint32_t count)
{
    uint64_t before = r->pages_received / PROGRESS_STEP;
    r->pages_received += count;
    if (r->pages_received / PROGRESS_STEP != before)
        restore_report_pages(r);
}

void restore_report_pages(struct restore *r)
{
    uint64_t total = r->memory.nr_pages;
    if (total < r->pages_received) /* the rounds of a live save */
        total = r->pages_received;
    report_progress(r->xch, "Frames", r->pages_received, total);
}

int restore_receive_pages(struct restore *r, uint32_t length)
{
    struct page_data_header h;
    if (restore_read(r, &h, sizeof h, "page data header") != 0 || check_count(r, &h, length) != 0 ||
        restore_read(r, r->pfns, h.count * sizeof *r->pfns, "pfns") != 0 ||
        check_pfns(r, h.count, length) != 0)
        return -1;
    int rc = receive_runs(r, h.count);
    if (rc != 0)
        log_errno(r->xch, "Failed to read page data from stream");
    else
        count_pages(r, h.count);
    return rc;
}

/* ---- from a record at hand: a kept checkpoint, or pages to compare ---- */

static void compare(struct restore *r, uint64_t pfn, const uint8_t *data)
{
    if (memcmp(r->memory.pages + pfn * SIMXEN_PAGE_SIZE, data, SIMXEN_PAGE_SIZE) != 0)
        log_error(r->xch, "verify pfn %#lx failed", (unsigned long)pfn); /* as libxc: log only */
}

int restore_apply_pages(struct restore *r, const uint8_t *body, uint32_t length)
{
    struct page_data_header h;
    memcpy(&h, body, sizeof h);
    if (check_count(r, &h, length) != 0)
        return -1;
    memcpy(r->pfns, body + sizeof h, h.count * sizeof *r->pfns);
    if (check_pfns(r, h.count, length) != 0)
        return -1;
    const uint8_t *data = body + sizeof h + h.count * sizeof *r->pfns;
    for (uint32_t i = 0; i < h.count; i++) {
        if (!has_data(r->pfns[i]))
            continue;
        if (r->verifying)
            compare(r, pfn_of(r->pfns[i]), data);
        else
            memcpy(r->memory.pages + pfn_of(r->pfns[i]) * SIMXEN_PAGE_SIZE, data, SIMXEN_PAGE_SIZE);
        data += SIMXEN_PAGE_SIZE;
    }
    return 0;
}
