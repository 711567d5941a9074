/* One running xc_domain_save: its context, and the steps it is made of. */
#ifndef SIMXEN_LIB_SAVE_H
#define SIMXEN_LIB_SAVE_H

#include "lib_dirty.h"
#include "lib_io.h"
#include "lib_stream.h"

/* The header of a PAGE_DATA record with its pfns, as it goes on the wire. */
struct batch {
    struct record_header record;
    struct page_data_header data;
    uint64_t pfn[BATCH_PAGES];
};
_Static_assert(sizeof(struct batch) == 2 * SIMXEN_PAGE_SIZE, "keeps pages aligned in a pipe");

struct save {
    /* Set by the caller. */
    xc_interface *xch;
    int fd;
    uint32_t domid, flags;
    struct save_callbacks *callbacks;
    xc_stream_type_t stream_type;

    /* Filled by the set-up. */
    uint64_t info[15]; /* last INFO: val[] */
    struct domain_memory memory;
    struct dirty_log log;
    uint64_t *bitmap; /* pages to send in this pass */
    bool live;        /* precopy still ahead */
    bool is_pipe;       /* the stream */
    struct relay relay; /* usable if the stream is a pipe or a regular file */
    bool set_up; /* from here on clean-up must undo */

    /* Where we are. */
    struct precopy_stats stats;
    char pass[40]; /* progress text of this pass */
    struct batch batch;
    struct iovec vector[BATCH_PAGES + 1];
};

/* lib_save_memory.c: every page, by the way the flags ask for; the guest is suspended after it. */
int save_memory(struct save *s);

/* lib_save_pages.c: the pages of s->bitmap (`entries` of them expected), with progress. */
int save_pages(struct save *s, uint64_t entries);

/* lib_save_records.c. */
int save_record(struct save *s, uint32_t type, const void *body, uint32_t length);
int save_start_of_stream(struct save *s);
int save_end_of_checkpoint(struct save *s);

#endif
