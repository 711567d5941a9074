/* xc_domain_restore, in order of execution (Xen: tools/libs/guest/xg_sr_restore.c).
 *
 * Other parts: lib_restore_stream.c (the record loop and checkpoints), lib_restore_records.c
 * (which record may come when, and what it does), lib_restore_pages.c (memory),
 * lib_restore_input.c (bytes, and bad ones). As in libxc, the restore_results callback belongs to
 * COLO: here the results are *store_mfn and *console_mfn. */
#include "lib_restore.h"

#include <errno.h>
#include <stdlib.h>

static int read_image_header(struct restore *r)
{
    struct image_header h;
    if (restore_read(r, &h, sizeof h, "Image Header") != 0)
        return -1;
    if (h.marker != htobe64(IMAGE_MARKER) || h.id != htobe32(IMAGE_ID))
        return restore_malformed(r, "Invalid marker or id: Not a libxc migration stream");
    if (h.version != htobe32(IMAGE_VERSION))
        return restore_malformed(r, "Invalid Version: Expected %u, got %u", IMAGE_VERSION,
                                 be32toh(h.version));
    if (h.options != 0) /* the only option known is "big endian" */
        return restore_malformed(r, "Unable to handle options %#x", be16toh(h.options));
    if (h.reserved1 != 0 || h.reserved2 != 0)
        return restore_malformed(r, "Reserved bits of the image header are set");
    return 0;
}

static int read_domain_header(struct restore *r)
{
    struct domain_header h;
    if (restore_read(r, &h, sizeof h, "Domain Header") != 0)
        return -1;
    if (h.type != SIMXEN_PV && h.type != SIMXEN_HVM)
        return restore_malformed(r, "Unknown type %u", h.type);
    if (h.page_shift != SIMXEN_PAGE_SHIFT)
        return restore_malformed(r, "Invalid page_shift %u", h.page_shift);
    if (h.reserved != 0)
        return restore_malformed(r, "Reserved bits of the domain header are set");
    if (h.type != (uint32_t)r->memory.type)
        return restore_malformed(r, "Stream of an x86 %s domain, but domain %u is not one",
                                 h.type == SIMXEN_HVM ? "HVM" : "PV", r->domid);
    log_at(r->xch, XTL_INFO, "Found x86 %s domain from Xen %u.%u",
           h.type == SIMXEN_HVM ? "HVM" : "PV", h.xen_major, h.xen_minor);
    return 0;
}

/* The guest's state goes to its vcpu page, and the host is told that the domain is whole. */
static int stream_complete(struct restore *r)
{
    r->memory.vcpu->arch = r->context.arch;
    struct simxen_request request = {
        .op = SIMXEN_RESTORED,
        .domid = r->domid,
        .arg = {r->store_gfn, r->console_gfn, r->store_evtchn, r->console_evtchn}};
    struct simxen_reply reply;
    if (host_call(r->xch, &request, &reply, NULL, 0) >= 0)
        return 0;
    log_errno(r->xch, "Failed to hand over the restored domain");
    return -1;
}

/* libxc asserts this; a wrong call must not kill the process that makes it. */
static int check_call(struct restore *r)
{
    bool checkpoints = r->stream_type == XC_STREAM_REMUS;
    if ((r->stream_type == XC_STREAM_PLAIN || checkpoints) && r->callbacks != NULL &&
        (!checkpoints || r->callbacks->checkpoint != NULL))
        return 0;
    errno = EINVAL;
    log_errno(r->xch, "Stream type or callbacks not supported");
    return -1;
}

static int restore(struct restore *r)
{
    if (check_call(r) != 0)
        return -1;
    if (memory_map(r->xch, r->domid, &r->memory) != 0) {
        log_errno(r->xch, "Failed to map domain %u", r->domid);
        return -1;
    }
    io_prepare_pipe(r->fd);
    relay_open(&r->relay);
    if (read_image_header(r) != 0 || read_domain_header(r) != 0)
        return -1;
    log_at(r->xch, XTL_INFO, "Restoring domain");
    if (restore_stream(r) != 0 || stream_complete(r) != 0)
        return -1;
    restore_report_pages(r);
    log_at(r->xch, XTL_INFO, "Restore successful");
    return 0;
}

static void clean_up(struct restore *r)
{
    int saved = errno;
    while (r->kept != NULL) {
        struct kept_record *next = r->kept->next;
        free(r->kept);
        r->kept = next;
    }
    memory_unmap(&r->memory);
    relay_close(&r->relay);
    free(r->named);
    free(r->pfns);
    free(r->vector);
    free(r);
    errno = saved;
}

int xc_domain_restore(xc_interface *xch, int io_fd, uint32_t dom, unsigned store_evtchn,
                      unsigned long *store_mfn, uint32_t store_domid, unsigned console_evtchn,
                      unsigned long *console_mfn, uint32_t console_domid,
                      xc_stream_type_t stream_type, struct restore_callbacks *callbacks,
                      int send_back_fd)
{
    (void)send_back_fd; /* COLO's back channel */
    struct restore *r = calloc(1, sizeof *r);
    if (r == NULL)
        return -1;
    r->xch = xch;
    r->fd = io_fd;
    r->domid = dom;
    r->store_evtchn = store_evtchn;
    r->console_evtchn = console_evtchn;
    r->callbacks = callbacks;
    r->stream_type = stream_type;
    r->memory.fd = -1;
    r->relay = (struct relay){.read_end = -1, .write_end = -1};
    r->kept_end = &r->kept;
    int rc = restore(r);
    if (rc == 0) {
        *store_mfn = r->store_gfn;
        *console_mfn = r->console_gfn;
        log_at(xch, XTL_INFO, "XenStore: mfn %#lx, dom %u, evt %u", *store_mfn, store_domid,
               store_evtchn);
        log_at(xch, XTL_INFO, "Console: mfn %#lx, dom %u, evt %u", *console_mfn, console_domid,
               console_evtchn);
    } else {
        log_errno(xch, "Restore failed");
    }
    clean_up(r);
    return rc;
}
