/* One running xc_domain_restore: its context, and the steps it is made of. */
#ifndef SIMXEN_LIB_RESTORE_H
#define SIMXEN_LIB_RESTORE_H

#include "lib_io.h"
#include "lib_memory.h"
#include "lib_stream.h"

struct record_rule;

/* A record kept until its checkpoint is complete. */
struct kept_record {
    struct kept_record *next;
    const struct record_rule *rule;
    uint32_t length;
    uint8_t body[];
};

struct restore {
    /* Set by the caller. */
    xc_interface *xch;
    int fd;
    uint32_t domid, store_evtchn, console_evtchn;
    struct restore_callbacks *callbacks;
    xc_stream_type_t stream_type;

    /* The domain. */
    struct domain_memory memory;
    struct relay relay;

    /* What the stream said so far. */
    uint32_t stage;           /* see lib_restore_records.c */
    uint32_t seen, seen_here; /* bit per record type: in the stream, since the last checkpoint */
    uint64_t vcpus[VCPU_RECORDS][MAX_VCPUS / 64]; /* those seen since the last checkpoint */
    uint64_t *named;          /* bit per frame of a PV domain; NULL until P2M frames came */
    uint64_t last_pfn;        /* of a PV domain */
    struct guest_context context;
    bool have_context;
    uint64_t store_gfn, console_gfn;
    uint64_t pages_received; /* repeats counted */
    bool have_page; /* one with contents */
    bool verifying; /* pages are compared, not stored */
    bool ended;

    /* Checkpointed streams: from the first checkpoint on, records wait for the next one. */
    bool keeping;
    struct kept_record *kept, **kept_end;
    uint64_t kept_bytes;

    /* Scratch of the page receiver, grown on demand. */
    uint64_t *pfns;
    struct iovec *vector;
    uint32_t capacity;
};

/* lib_restore_input.c. Log a malformed stream; -1 and EBADMSG. */
int restore_malformed(struct restore *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* io_read() with the log line of a failure. */
int restore_read(struct restore *r, void *data, size_t size, const char *what);

/* lib_restore_stream.c: read the stream up to END, or to the last checkpoint of a lost peer. */
int restore_stream(struct restore *r);

/* lib_restore_records.c: a record whose header was read. Checks type, length, order; from then on
 * it has been seen. */
const struct record_rule *restore_check(struct restore *r, const struct record_header *header);
/* Body at hand. */
int restore_apply(struct restore *r, const struct record_rule *rule, const uint8_t *body,
                  uint32_t length);

/* lib_restore_pages.c: PAGE_DATA, from the stream straight to memory, or from a body at hand. */
int restore_receive_pages(struct restore *r, uint32_t length);
void restore_report_pages(struct restore *r);
int restore_apply_pages(struct restore *r, const uint8_t *body, uint32_t length);

#endif
