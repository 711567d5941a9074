/* The libxc migration stream, version 3, as bytes (Xen: docs/specs/libxc-migration-stream.pandoc),
 * and what simxen puts into the records whose body is the hypervisor's own business. */
#ifndef SIMXEN_LIB_STREAM_H
#define SIMXEN_LIB_STREAM_H

#include "simxen.h"

#include <endian.h>

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "all but the image header is in native order");

struct image_header { /* big endian */
    uint64_t marker;
    uint32_t id, version;
    uint16_t options, reserved1;
    uint32_t reserved2;
};
_Static_assert(sizeof(struct image_header) == 24, "image header");
#define IMAGE_MARKER UINT64_MAX
#define IMAGE_ID 0x58454e46u /* "XENF" */
#define IMAGE_VERSION 3u

struct domain_header {
    uint32_t type; /* enum simxen_type: the same numbers */
    uint16_t page_shift, reserved;
    uint32_t xen_major, xen_minor;
};
_Static_assert(sizeof(struct domain_header) == 16, "domain header");

struct record_header {
    uint32_t type, length;
};
_Static_assert(sizeof(struct record_header) == 8, "record header");
#define RECORD_MAX_LENGTH (128u << 20)
#define RECORD_ALIGN 8u
#define RECORD_OPTIONAL 0x80000000u

enum record_type {
    REC_END = 0x00,
    REC_PAGE_DATA = 0x01,
    REC_PV_INFO = 0x02,
    REC_PV_P2M_FRAMES = 0x03,
    REC_PV_VCPU_BASIC = 0x04,
    REC_PV_VCPU_EXTENDED = 0x05,
    REC_PV_VCPU_XSAVE = 0x06,
    REC_SHARED_INFO = 0x07,
    REC_TSC_INFO = 0x08,
    REC_HVM_CONTEXT = 0x09,
    REC_HVM_PARAMS = 0x0a,
    REC_PV_VCPU_MSRS = 0x0c,
    REC_VERIFY = 0x0d,
    REC_CHECKPOINT = 0x0e,
    REC_STATIC_DATA_END = 0x10,
    REC_CPUID_POLICY = 0x11,
    REC_MSR_POLICY = 0x12,
};

struct page_data_header {
    uint32_t count, reserved;
};
#define PFN_MASK ((UINT64_C(1) << 52) - 1)
#define PFN_RESERVED_MASK (UINT64_C(0xff) << 52)
#define PFN_TYPE_SHIFT 60

/* 1022 pfns make a PAGE_DATA header of exactly two pages with the record header: every page
 * behind it stays aligned in a pipe, and receivers copy whole pages. The limit is 1024. */
#define BATCH_PAGES 1022u

struct pv_info {
    uint8_t width, levels, reserved[6];
};
struct p2m_frames_header {
    uint32_t start_pfn, end_pfn;
};
#define P2M_PER_FRAME (SIMXEN_PAGE_SIZE / 8) /* 64-bit guest */

struct vcpu_header {
    uint32_t vcpu_id, reserved;
};
#define PV_VCPU_SIZE 5168u /* vcpu_guest_context_t of a 64-bit guest */
#define PV_VCPU_EXTENDED_MAX 128u
#define PV_VCPU_XSAVE_MIN 16u
#define MAX_VCPUS 8192u
enum { VCPU_BASIC, VCPU_EXTENDED, VCPU_XSAVE, VCPU_MSRS, VCPU_RECORDS };

struct tsc_info {
    uint32_t mode, khz;
    uint64_t nsec;
    uint32_t incarnation, reserved;
};
_Static_assert(sizeof(struct tsc_info) == 24, "TSC info");

struct hvm_params_header {
    uint32_t count, reserved;
};
struct hvm_param {
    uint64_t index, value;
};
enum { HVM_PARAM_STORE_PFN = 1, HVM_PARAM_CONSOLE_PFN = 17, HVM_PARAMS_MAX = 256 };

struct hvm_save_descriptor {
    uint16_t typecode, instance;
    uint32_t length;
};
struct hvm_save_header {
    uint32_t magic, version;
    uint64_t changeset;
    uint32_t cpuid, gtsc_khz;
};
#define HVM_SAVE_MAGIC 0x54381286u
#define HVM_SAVE_VERSION 1u
enum { HVM_SAVE_END = 0, HVM_SAVE_HEADER = 1, HVM_SAVE_SIMXEN = 0x5358 };

/* The guest's own state: at the front of the vcpu context of vcpu 0 (PV; libxc's blob starts with
 * the FPU area, the guest has no FPU) or as one entry of the HVM context. */
struct guest_context {
    char magic[8];
    uint64_t nr_pages;
    uint64_t store_gfn, console_gfn;
    struct simxen_arch arch;
};
#define GUEST_CONTEXT_MAGIC "SIMCTX01"
_Static_assert(sizeof(struct guest_context) == 112, "guest context");
_Static_assert(sizeof(struct guest_context) <= PV_VCPU_SIZE, "guest context");

struct hvm_context {
    struct hvm_save_descriptor header_descriptor;
    struct hvm_save_header header;
    struct hvm_save_descriptor guest_descriptor;
    struct guest_context guest;
    struct hvm_save_descriptor end_descriptor;
};
_Static_assert(sizeof(struct hvm_context) == 24 + 24 + sizeof(struct guest_context), "HVM context");

#endif
