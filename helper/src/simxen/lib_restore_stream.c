/* The record loop of a restore, and the checkpoints of a checkpointed stream.
 *
 * Never reads a byte that does not belong to the record at hand: behind END, and behind each
 * CHECKPOINT, the stream is the caller's. */
#include "lib_restore.h"

#include <errno.h>
#include <stdlib.h>

#define KEPT_SLACK (UINT64_C(64) << 20)

/* What a checkpoint may take while it waits: the domain once, with its headers, and then some. */
static uint64_t kept_limit(const struct restore *r)
{
    return r->memory.nr_pages * SIMXEN_PAGE_SIZE * 2 + KEPT_SLACK;
}

static uint32_t padding(uint32_t length)
{
    return -length % RECORD_ALIGN;
}

static int read_padding(struct restore *r, uint32_t length)
{
    uint64_t bytes = 0;
    if (padding(length) == 0)
        return 0;
    if (restore_read(r, &bytes, padding(length), "record padding") != 0)
        return -1;
    return bytes == 0 ? 0 : restore_malformed(r, "Record padding is not zero");
}

/* Read a body the caller frees; NULL and errno on failure. */
static struct kept_record *read_body(struct restore *r, const struct record_rule *rule,
                                     uint32_t length)
{
    struct kept_record *record = malloc(sizeof *record + length);
    if (record == NULL) {
        log_errno(r->xch, "Unable to allocate %u bytes for a record", length);
        return NULL;
    }
    *record = (struct kept_record){.rule = rule, .length = length};
    if (restore_read(r, record->body, length, "record body") == 0 && read_padding(r, length) == 0)
        return record;
    free(record);
    return NULL;
}

static int skip_optional(struct restore *r, uint32_t length)
{
    char scratch[4096];
    log_at(r->xch, XTL_DETAIL, "Skipping an optional record of %u bytes", length);
    for (uint32_t left = length; left > 0;) {
        uint32_t n = left < sizeof scratch ? left : (uint32_t)sizeof scratch;
        if (restore_read(r, scratch, n, "optional record") != 0)
            return -1;
        left -= n;
    }
    return read_padding(r, length);
}

/* ---- checkpoints ---- */

static int keep(struct restore *r, const struct record_rule *rule, uint32_t length)
{
    if (r->kept_bytes + length > kept_limit(r)) {
        errno = EFBIG;
        log_errno(r->xch, "Checkpoint larger than %lu bytes", (unsigned long)kept_limit(r));
        return -1;
    }
    struct kept_record *record = read_body(r, rule, length);
    if (record == NULL)
        return -1;
    r->kept_bytes += sizeof *record + length;
    *r->kept_end = record;
    r->kept_end = &record->next;
    return 0;
}

static int apply_kept(struct restore *r)
{
    log_at(r->xch, XTL_INFO, "All records buffered");
    while (r->kept != NULL) {
        struct kept_record *record = r->kept;
        int rc = restore_apply(r, record->rule, record->body, record->length);
        r->kept = record->next;
        free(record);
        if (rc != 0)
            return -1;
    }
    r->kept_end = &r->kept;
    r->kept_bytes = 0;
    log_at(r->xch, XTL_INFO, "All records processed");
    return 0;
}

/* CHECKPOINT seen: the peer's toolstack part follows on the stream, the callback reads it. */
static int checkpoint(struct restore *r)
{
    int answer = r->callbacks->checkpoint(r->callbacks->data);
    if (answer == CHECKPOINT_FAILOVER && r->keeping) {
        r->ended = true; /* what waits is incomplete: go on from the last checkpoint */
        return 0;
    }
    if (answer != CHECKPOINT_SUCCESS) {
        errno = ECANCELED;
        log_errno(r->xch, "Checkpoint callback failed: %d", answer);
        return -1;
    }
    if (r->keeping)
        return apply_kept(r);
    r->keeping = true;
    return 0;
}

/* ---- the loop ---- */

/* The body of a record that is not kept. */
static int process(struct restore *r, const struct record_rule *rule,
                   const struct record_header *header)
{
    if (header->type == REC_PAGE_DATA && !r->verifying)
        return restore_receive_pages(r, header->length);
    struct kept_record *record = read_body(r, rule, header->length);
    if (record == NULL)
        return -1;
    int rc = restore_apply(r, rule, record->body, record->length);
    free(record);
    if (rc == 0 && header->type == REC_CHECKPOINT)
        rc = checkpoint(r);
    return rc;
}

static int one_record(struct restore *r)
{
    struct record_header header;
    if (restore_read(r, &header, sizeof header, "Record Header") != 0)
        return -1;
    if (header.length > RECORD_MAX_LENGTH)
        return restore_malformed(r, "Record (%#x) length %#x exceeds max", header.type,
                                 header.length);
    if (header.type & RECORD_OPTIONAL)
        return skip_optional(r, header.length);
    const struct record_rule *rule = restore_check(r, &header);
    if (rule == NULL)
        return -1;
    if (r->keeping && header.type != REC_END && header.type != REC_CHECKPOINT)
        return keep(r, rule, header.length);
    return process(r, rule, &header);
}

/* The peer is gone, as opposed to: it talks nonsense, or we were told to stop. Only then is a
 * failover right; libxc fails over on anything, also when the peer's guest still runs. */
static bool peer_lost(int error)
{
    return error == 0 || error == ECONNRESET || error == ETIMEDOUT || error == EIO;
}

int restore_stream(struct restore *r)
{
    while (!r->ended) {
        if (one_record(r) == 0)
            continue;
        if (!r->keeping || !peer_lost(errno))
            return -1;
        log_at(r->xch, XTL_WARN, "Peer lost, going on from the last checkpoint");
        return 0;
    }
    return 0;
}
