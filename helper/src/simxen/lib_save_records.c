/* Every part of the stream that is not a page: headers, static data, the state at a checkpoint. */
#include "lib_save.h"

#include <stdlib.h>
#include <string.h>

#define TSC_KHZ 2000000u
#define HVM_SPECIAL_PAGE 0xff000u /* where hvmloader's special pages end, in gfns */

static int write_parts(struct save *s, struct iovec *vector, int count, const char *what)
{
    int rc = io_write_vector(s->fd, vector, count);
    if (rc != 0)
        log_errno(s->xch, "Failed to write %s to stream", what);
    return rc;
}

/* A record of a head and a body, padded to 8 bytes. */
static int write_record(struct save *s, uint32_t type, const void *head, uint32_t head_size,
                        const void *body, uint32_t body_size)
{
    static const char zeros[RECORD_ALIGN];
    struct record_header header = {.type = type, .length = head_size + body_size};
    struct iovec vector[] = {
        {&header, sizeof header},
        {(void *)(uintptr_t)head, head_size},
        {(void *)(uintptr_t)body, body_size},
        {(void *)(uintptr_t)zeros, -header.length % RECORD_ALIGN},
    };
    return write_parts(s, vector, 4, "record");
}

int save_record(struct save *s, uint32_t type, const void *body, uint32_t length)
{
    return write_record(s, type, NULL, 0, body, length);
}

/* ---- start of stream ---- */

static int write_headers(struct save *s)
{
    struct image_header image = {
        .marker = htobe64(IMAGE_MARKER), .id = htobe32(IMAGE_ID), .version = htobe32(IMAGE_VERSION)};
    struct domain_header domain = {.type = s->memory.type,
                                   .page_shift = SIMXEN_PAGE_SHIFT,
                                   .xen_major = SIMXEN_XEN_MAJOR,
                                   .xen_minor = SIMXEN_XEN_MINOR};
    struct iovec vector[] = {{&image, sizeof image}, {&domain, sizeof domain}};
    return write_parts(s, vector, 2, "headers");
}

/* Where a PV guest's p2m lives. simxen's guests have none: the last pages are named. */
static int write_p2m_frames(struct save *s)
{
    uint64_t pages = s->memory.nr_pages, frames = (pages - 1) / P2M_PER_FRAME + 1;
    struct p2m_frames_header header = {.start_pfn = 0, .end_pfn = (uint32_t)(pages - 1)};
    uint64_t *pfns = calloc(frames, sizeof *pfns);
    if (pfns == NULL) {
        log_errno(s->xch, "Unable to allocate memory for p2m frames");
        return -1;
    }
    for (uint64_t i = 0; i < frames; i++)
        pfns[i] = pages - frames + i;
    int rc = write_record(s, REC_PV_P2M_FRAMES, &header, sizeof header, pfns,
                          (uint32_t)(frames * sizeof *pfns));
    free(pfns);
    return rc;
}

int save_start_of_stream(struct save *s)
{
    struct pv_info info = {.width = 8, .levels = 4};
    bool pv = s->memory.type == SIMXEN_PV;
    if (write_headers(s) != 0)
        return -1;
    if (pv && save_record(s, REC_PV_INFO, &info, sizeof info) != 0)
        return -1;
    if (save_record(s, REC_STATIC_DATA_END, NULL, 0) != 0)
        return -1;
    return pv ? write_p2m_frames(s) : 0;
}

/* ---- end of each checkpoint: the guest is suspended, its state stands still ---- */

static struct guest_context guest_context(const struct save *s)
{
    struct guest_context context = {.nr_pages = s->memory.nr_pages, .arch = s->memory.vcpu->arch};
    memcpy(context.magic, GUEST_CONTEXT_MAGIC, sizeof context.magic);
    bool pv = s->memory.type == SIMXEN_PV;
    context.store_gfn = pv ? s->memory.nr_pages - 1 : HVM_SPECIAL_PAGE - 4;
    context.console_gfn = pv ? s->memory.nr_pages - 2 : HVM_SPECIAL_PAGE - 1;
    return context;
}

static int write_pv_vcpus(struct save *s)
{
    uint8_t blob[PV_VCPU_SIZE] = {0};
    struct guest_context context = guest_context(s);
    uint64_t vcpus = s->info[SIMXEN_INFO_VCPUS];
    memcpy(blob, &context, sizeof context);
    for (uint64_t id = 0; id == 0 || (id < vcpus && id < MAX_VCPUS); id++) {
        struct vcpu_header header = {.vcpu_id = (uint32_t)id};
        if (write_record(s, REC_PV_VCPU_BASIC, &header, sizeof header, blob, sizeof blob) != 0)
            return -1;
        memset(blob, 0, sizeof context); /* the guest is one process: vcpu 0 has its state */
    }
    return 0;
}

static int write_pv_state(struct save *s)
{
    static const uint8_t shared_info[SIMXEN_PAGE_SIZE];
    if (save_record(s, REC_SHARED_INFO, shared_info, sizeof shared_info) != 0)
        return -1;
    return write_pv_vcpus(s);
}

static int write_hvm_state(struct save *s)
{
    struct hvm_context context = {
        .header_descriptor = {.typecode = HVM_SAVE_HEADER, .length = sizeof context.header},
        .header = {.magic = HVM_SAVE_MAGIC, .version = HVM_SAVE_VERSION, .gtsc_khz = TSC_KHZ},
        .guest_descriptor = {.typecode = HVM_SAVE_SIMXEN, .length = sizeof context.guest},
        .guest = guest_context(s),
        .end_descriptor = {.typecode = HVM_SAVE_END},
    };
    struct hvm_param params[] = {{HVM_PARAM_STORE_PFN, context.guest.store_gfn},
                                 {HVM_PARAM_CONSOLE_PFN, context.guest.console_gfn}};
    struct hvm_params_header header = {.count = sizeof params / sizeof *params};
    if (save_record(s, REC_HVM_CONTEXT, &context, sizeof context) != 0)
        return -1;
    return write_record(s, REC_HVM_PARAMS, &header, sizeof header, params, sizeof params);
}

int save_end_of_checkpoint(struct save *s)
{
    struct tsc_info tsc = {.khz = TSC_KHZ};
    if (save_record(s, REC_TSC_INFO, &tsc, sizeof tsc) != 0)
        return -1;
    return s->memory.type == SIMXEN_PV ? write_pv_state(s) : write_hvm_state(s);
}
