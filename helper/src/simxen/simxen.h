/* What the parts of simxen share: the hypervisor socket, the vcpu page, the page content.
 *
 * Three programs meet in these layouts: libsimxen.so (this folder, lib_*.c), simxen-guest (this
 * folder, guest_*.c) and the host process (Python, libxlpy/simxen/, by struct offsets). All
 * numbers are little endian and naturally aligned; the asserts below pin every offset, and
 * simxen_offset() tells them to the Python side's test.
 *
 * Three words were added to the first plan of the vcpu page:
 *  - `doorbell`: who changes the control section adds 1 to it and does FUTEX_WAKE on it. A guest
 *    that waits must wake for `command`, `tracker_wanted` and `rate` alike, and a futex waits on
 *    one word only. simxen_guest_command() and simxen_guest_tracker() do all of this.
 *  - `ack`: the guest adds 1 and does FUTEX_WAKE after each change of `state` or `tracker_state`.
 *  - `guest_pages`: the guest writes only pages below it (0 = all). Pages from there on belong to
 *    the device model: two writers of one page would tear it. simxen_dma_write() is its pen.
 */
#ifndef SIMXEN_H
#define SIMXEN_H

#include <stddef.h>
#include <stdint.h>

#define SIMXEN_PAGE_SHIFT 12
#define SIMXEN_PAGE_SIZE 4096u
#define SIMXEN_MAX_PAGES (UINT64_C(1) << 32) /* 16 TiB: keeps every byte count inside int64 */
#define SIMXEN_API __attribute__((visibility("default")))

/* ---- hypervisor.sock: SOCK_SEQPACKET, one request, one reply ------------------------------- */

enum simxen_op {
    SIMXEN_INFO = 1,
    SIMXEN_LIST = 2,      /* arg0 first domid; -1/ENOENT when none is left */
    SIMXEN_MAP = 3,       /* fds: memory, vcpu page */
    SIMXEN_PAUSE = 4,
    SIMXEN_UNPAUSE = 5,
    SIMXEN_SHUTDOWN = 6,  /* arg0 reason */
    SIMXEN_RESUME = 7,    /* arg0 fast */
    SIMXEN_DESTROY = 8,
    SIMXEN_LOGDIRTY = 9,  /* arg0 1 on, 0 off; val0 of "on": enum simxen_tracker. On when on: -1/EINVAL */
    SIMXEN_HVM_PARAM = 11, /* arg0 HVM_PARAM_*; val0 its value; of a PV domain: -1/EINVAL */
    SIMXEN_RESTORED = 10, /* arg0 store_gfn, arg1 console_gfn, arg2 store_evtchn, arg3 console_evtchn */
    SIMXEN_SUBSCRIBE = 12, /* arg0 a port of the guest's: notified when it has shut down to suspend */
    SIMXEN_BIND = 13, /* arg0 a port that the guest offers, val0 ours; the connection is then the
                       * channel, and carries struct simxen_channel_message both ways */
    SIMXEN_MEMORY = 14, /* domid ignored; val0 bytes that no domain has, claimed ones included */
    SIMXEN_CLAIM = 15, /* arg0 pages, 0 none any more; more than are there: -1/ENOMEM */
};

/* To the host: notify, unmask; from it: an event, after which there is none before an unmask. */
enum simxen_channel_what { SIMXEN_CHANNEL_EVENT, SIMXEN_CHANNEL_NOTIFY, SIMXEN_CHANNEL_UNMASK };

struct simxen_channel_message {
    uint32_t what;
    uint32_t port; /* our end */
};

struct simxen_request {
    uint32_t op;
    uint32_t domid;
    uint64_t arg[7];
};

struct simxen_reply {
    int32_t retval;
    int32_t errnoval;
    uint64_t val[15];
};

/* val[] of INFO and LIST. */
enum {
    SIMXEN_INFO_DOMID,
    SIMXEN_INFO_FLAGS, /* XEN_DOMINF_* without the shutdown reason */
    SIMXEN_INFO_REASON,
    SIMXEN_INFO_TOT_PAGES,
    SIMXEN_INFO_MAX_PAGES,
    SIMXEN_INFO_VCPUS,
    SIMXEN_INFO_CPU_TIME,
    SIMXEN_INFO_TYPE,
    SIMXEN_INFO_UUID, /* 16 bytes: this val and the next */
    SIMXEN_INFO_LOGDIRTY = 10,
    SIMXEN_INFO_OUTSTANDING, /* pages that are claimed and not there yet */
};

/* val[] of MAP. */
enum {
    SIMXEN_MAP_PAGES,
    SIMXEN_MAP_PID,     /* 0 if no guest process runs */
    SIMXEN_MAP_ADDRESS, /* of the memory in the guest process */
    SIMXEN_MAP_TYPE,
    SIMXEN_MAP_MAX_GPFN,
};

enum simxen_type { SIMXEN_PV = 1, SIMXEN_HVM = 2 };
enum simxen_tracker { SIMXEN_TRACKER_OFF, SIMXEN_TRACKER_UFFD, SIMXEN_TRACKER_BITMAP, SIMXEN_TRACKER_FAILED };
enum simxen_tracker_kind { SIMXEN_KIND_AUTO, SIMXEN_KIND_UFFD, SIMXEN_KIND_BITMAP };
enum simxen_command { SIMXEN_RUN, SIMXEN_STOP, SIMXEN_EXIT };
enum simxen_state { SIMXEN_STARTING, SIMXEN_RUNNING, SIMXEN_STOPPED, SIMXEN_EXITED };
enum simxen_pattern { SIMXEN_UNIFORM, SIMXEN_SEQUENTIAL, SIMXEN_HOT };
enum simxen_fill { SIMXEN_FILL_NONE, SIMXEN_FILL_WANTED, SIMXEN_FILL_DONE };

#define SIMXEN_FULL_SPEED UINT64_MAX

/* ---- the vcpu page ------------------------------------------------------------------------- */

/* The guest's own state: travels in the stream, the restored guest goes on from it. */
struct simxen_arch {
    uint64_t guest_id;
    uint64_t counter; /* pages written so far */
    uint64_t rng[2];  /* both 0: the guest seeds it from guest_id */
    uint64_t digest;  /* sum of simxen_page_mix() over the memory; atomic add by every writer */
    uint64_t rate;    /* pages a second; 0 idle, SIMXEN_FULL_SPEED */
    uint32_t pattern;
    uint32_t reserved; /* 0 */
    uint64_t hot_pages;
    uint64_t restored_count;
    uint64_t suspend_count; /* the host counts; the guest only carries it */
};

struct simxen_vcpu {
    char magic[8];
    /* Control section. Host writes: */
    uint32_t command;
    uint32_t state; /* guest writes */
    uint32_t tracker_wanted;
    uint32_t tracker_state; /* guest writes */
    uint32_t tracker_kind;
    uint32_t fill;           /* host: FILL_WANTED; guest: FILL_DONE. Page by page, a stop is obeyed between */
    uint64_t mapping;        /* guest writes: address of the memory */
    uint64_t nr_pages;       /* host writes; the guest checks it against its argument */
    uint64_t guest_pages;    /* host writes; 0 = all */
    uint32_t doorbell;       /* futex word, host to guest */
    uint32_t ack;            /* futex word, guest to host */
    uint32_t restored;       /* host: 1 at the first start after a restore; guest: restored_count++, then 0 */
    uint32_t tracker_errno;  /* guest writes: why userfaultfd was refused, 0 if it was not */
    uint64_t reserved[7];
    struct simxen_arch arch; /* at 128 */
};

#define SIMXEN_VCPU_MAGIC "SIMVCPU1"

/* Behind the vcpu page, in the same memfd: the guest's cooperative dirty bitmap, then the device
 * model's; bit n of little-endian u64 words = page n; each starts on a page boundary. Whoever
 * writes a page sets its bit afterwards, by an atomic or; libsimxen takes by an atomic exchange. */
static inline uint64_t simxen_bitmap_size(uint64_t nr_pages)
{
    return (nr_pages + 32767) / 32768 * SIMXEN_PAGE_SIZE;
}

static inline uint64_t simxen_guest_bitmap(uint64_t nr_pages)
{
    (void)nr_pages;
    return SIMXEN_PAGE_SIZE;
}

static inline uint64_t simxen_dm_bitmap(uint64_t nr_pages)
{
    return SIMXEN_PAGE_SIZE + simxen_bitmap_size(nr_pages);
}

static inline uint64_t simxen_vcpu_file_size(uint64_t nr_pages)
{
    return SIMXEN_PAGE_SIZE + 2 * simxen_bitmap_size(nr_pages);
}

_Static_assert(sizeof(struct simxen_request) == 64, "request");
_Static_assert(sizeof(struct simxen_reply) == 128, "reply");
_Static_assert(offsetof(struct simxen_request, arg) == 8, "request");
_Static_assert(offsetof(struct simxen_reply, val) == 8, "reply");
#define SIMXEN_AT(field, offset) _Static_assert(offsetof(struct simxen_vcpu, field) == (offset), #field)
SIMXEN_AT(magic, 0);
SIMXEN_AT(command, 8);
SIMXEN_AT(state, 12);
SIMXEN_AT(tracker_wanted, 16);
SIMXEN_AT(tracker_state, 20);
SIMXEN_AT(tracker_kind, 24);
SIMXEN_AT(fill, 28);
SIMXEN_AT(mapping, 32);
SIMXEN_AT(nr_pages, 40);
SIMXEN_AT(guest_pages, 48);
SIMXEN_AT(doorbell, 56);
SIMXEN_AT(ack, 60);
SIMXEN_AT(restored, 64);
SIMXEN_AT(tracker_errno, 68);
SIMXEN_AT(arch, 128);
SIMXEN_AT(arch.guest_id, 128);
SIMXEN_AT(arch.counter, 136);
SIMXEN_AT(arch.rng, 144);
SIMXEN_AT(arch.digest, 160);
SIMXEN_AT(arch.rate, 168);
SIMXEN_AT(arch.pattern, 176);
SIMXEN_AT(arch.hot_pages, 184);
SIMXEN_AT(arch.restored_count, 192);
SIMXEN_AT(arch.suspend_count, 200);
#undef SIMXEN_AT
_Static_assert(sizeof(struct simxen_arch) == 80, "arch");
_Static_assert(sizeof(struct simxen_vcpu) <= SIMXEN_PAGE_SIZE, "vcpu page");

/* ---- exported by libsimxen.so beside the Xen symbols (for the host and tests, by ctypes) ---- */

/* Directory with hypervisor.sock, for every later xc_interface_open(). 0, or -1 and errno. */
SIMXEN_API int simxen_set_host(const char *dir);
/* Bytes that were spliced out of streams: the kernel counts those for nobody. */
SIMXEN_API uint64_t simxen_spliced(void);

/* Offset of a vcpu page field ("command", "arch.digest"; without "arch." found too); -1 unknown. */
SIMXEN_API int64_t simxen_offset(const char *field);

/* Page: u64 pfn, u64 generation, u64 body[509], u64 checksum. Generation 0 = an all-zero page. */
SIMXEN_API void simxen_page_write(void *page, uint64_t pfn, uint64_t generation);
SIMXEN_API int simxen_page_check(const void *page, uint64_t pfn);
SIMXEN_API uint64_t simxen_page_mix(uint64_t pfn, uint64_t generation);

/* Check every page: number of bad ones (first in *first_bad, else nr_pages), -1 and errno on error. */
SIMXEN_API int64_t simxen_verify(int memory_fd, uint64_t nr_pages, uint64_t *digest, uint64_t *first_bad);

/* Set `command`, ring, wait for the state it leads to (exit: for EXITED). 0, or -1 and ETIMEDOUT. */
SIMXEN_API int simxen_guest_command(void *vcpu, uint32_t command, int timeout_ms);

/* Arm or disarm the tracker and wait: the tracker_state reached (>= 0), or -1 and ETIMEDOUT. */
SIMXEN_API int simxen_guest_tracker(void *vcpu, uint32_t wanted, uint32_t kind, int timeout_ms);

/* Ring the bell after a change of arch.rate, pattern, hot_pages. */
SIMXEN_API void simxen_guest_ring(void *vcpu);

/* One device-model write of the page's next generation; `log` sets its bit in the dm bitmap.
 * memory and vcpu are the mapped memory and the mapped vcpu file. 0, or -1 and EINVAL (range). */
SIMXEN_API int simxen_dma_write(void *memory, void *vcpu, uint64_t nr_pages, uint64_t pfn, int log);

#endif
