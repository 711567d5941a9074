/*
 * What the build helper needs of libxenlight, found at run time, so that no Xen header
 * is needed to build.  libxenlight's structs are generated and grow with each release:
 * a domain's configuration goes in as JSON and stays opaque here; of two small structs
 * the front is known.  The types below are those of Xen 4.14 on.
 *
 * Compiled a second time by the tests, behind Xen's own headers and with
 * XEN_ABI_CHECK defined, as xen_abi.h.
 */
#ifndef LIBXLPY_XENLIGHT_H
#define LIBXLPY_XENLIGHT_H

#include <stdint.h>

#include "xen_abi.h"

enum {
    XENLIGHT_ERROR_MAX = 512,    /* bytes of xenlight_load's message */
    XENLIGHT_CONFIG_MAX = 65536, /* bytes; libxl_domain_config has some 3000 */
    XENLIGHT_PARAMS_MAX = 256,   /* bytes; libxl_domain_restore_params has 24 */
    XENLIGHT_NIC_MAX = 4096,     /* bytes; libxl_device_nic has some 300 */
    XENLIGHT_STREAM_VERSION = 2,
};

#ifndef XEN_ABI_CHECK
typedef struct libxl_ctx libxl_ctx;
typedef struct libxl_domain_config libxl_domain_config;
typedef struct libxl_domain_restore_params libxl_domain_restore_params;
typedef struct libxl_device_nic libxl_device_nic;
typedef struct libxl_asyncop_how libxl_asyncop_how;
typedef struct libxl_asyncprogress_how libxl_asyncprogress_how;
typedef struct libxl_evgen_domain_death libxl_evgen_domain_death;
typedef struct libxl_event libxl_event;
typedef uint64_t libxl_ev_user;
typedef int libxl_event_predicate(const libxl_event *event, void *user);
#endif

/* The front of libxl_domain_restore_params. */
struct xenlight_params {
    int checkpointed_stream;
    uint32_t stream_version;
};

/* The front of libxl_event, as far as the shutdown's reason. */
struct xenlight_event_front {
    void *link[2];
    uint32_t domid;
    uint8_t domuuid[16];
    uint64_t for_user;
    int type; /* 1 shutdown, 2 death */
    uint8_t shutdown_reason __attribute__((aligned(8)));
};

typedef int libxl_ctx_alloc_fn(libxl_ctx **ctx, int version, unsigned flags,
                               xentoollog_logger *logger);
typedef int libxl_ctx_free_fn(libxl_ctx *ctx);
typedef void libxl_domain_config_init_fn(libxl_domain_config *config);
typedef void libxl_domain_config_dispose_fn(libxl_domain_config *config);
typedef int libxl_domain_config_from_json_fn(libxl_ctx *ctx,
                                             libxl_domain_config *config,
                                             const char *json);
typedef void libxl_domain_restore_params_init_fn(libxl_domain_restore_params *params);
typedef int libxl_domain_create_restore_fn(
    libxl_ctx *ctx, libxl_domain_config *config, uint32_t *domid, int restore_fd,
    int send_back_fd, const libxl_domain_restore_params *params,
    const libxl_asyncop_how *ao_how, const libxl_asyncprogress_how *console_how);
typedef int libxl_domain_create_new_fn(libxl_ctx *ctx, libxl_domain_config *config,
                                       uint32_t *domid, const libxl_asyncop_how *ao_how,
                                       const libxl_asyncprogress_how *console_how);
typedef int libxl_domain_op_fn(libxl_ctx *ctx, uint32_t domid,
                               const libxl_asyncop_how *ao_how);
typedef int libxl_domain_rename_fn(libxl_ctx *ctx, uint32_t domid, const char *old_name,
                                   const char *new_name);
typedef void libxl_device_nic_init_fn(libxl_device_nic *nic);
typedef void libxl_device_nic_dispose_fn(libxl_device_nic *nic);
typedef int libxl_device_nic_from_json_fn(libxl_ctx *ctx, libxl_device_nic *nic,
                                          const char *json);
typedef int libxl_device_nic_op_fn(libxl_ctx *ctx, uint32_t domid,
                                   libxl_device_nic *nic,
                                   const libxl_asyncop_how *ao_how);
typedef int libxl_userdata_store_fn(libxl_ctx *ctx, uint32_t domid, const char *userid,
                                    const uint8_t *data, int size);
typedef int libxl_userdata_retrieve_fn(libxl_ctx *ctx, uint32_t domid,
                                       const char *userid, uint8_t **data, int *size);
typedef int libxl_domain_core_dump_fn(libxl_ctx *ctx, uint32_t domid,
                                      const char *filename,
                                      const libxl_asyncop_how *ao_how);
typedef int libxl_evenable_domain_death_fn(libxl_ctx *ctx, uint32_t domid,
                                           libxl_ev_user user,
                                           libxl_evgen_domain_death **evgen);
typedef int libxl_event_wait_fn(libxl_ctx *ctx, libxl_event **event, uint64_t typemask,
                                libxl_event_predicate *predicate, void *user);
typedef void libxl_event_free_fn(libxl_ctx *ctx, libxl_event *event);

/* ---- loading ---- */

struct xenlight {
    libxl_ctx_alloc_fn *ctx_alloc;
    libxl_ctx_free_fn *ctx_free;
    libxl_domain_config_init_fn *config_init;
    libxl_domain_config_dispose_fn *config_dispose;
    libxl_domain_config_from_json_fn *config_from_json;
    libxl_domain_restore_params_init_fn *restore_params_init;
    libxl_domain_create_restore_fn *create_restore;
    libxl_domain_create_new_fn *create_new;
    libxl_domain_op_fn *unpause;
    libxl_domain_op_fn *destroy;
    libxl_domain_rename_fn *rename;
    libxl_device_nic_init_fn *nic_init;
    libxl_device_nic_dispose_fn *nic_dispose;
    libxl_device_nic_from_json_fn *nic_from_json;
    libxl_device_nic_op_fn *nic_add;
    libxl_device_nic_op_fn *nic_destroy;
    libxl_userdata_store_fn *userdata_store;
    libxl_userdata_retrieve_fn *userdata_retrieve;
    libxl_domain_core_dump_fn *core_dump;
    libxl_evenable_domain_death_fn *watch_death;
    libxl_event_wait_fn *event_wait;
    libxl_event_free_fn *event_free;
};

/* 0, or -1 with one line in `error`. */
int xenlight_load(struct xenlight *library, const char *name,
                  char error[XENLIGHT_ERROR_MAX]);

/* ---- logging ----
 *
 * libxl logs from children that it forks, too, where nothing of Python may run.  So
 * each line goes to a pipe, by one write that no other can split: this head, then the
 * context and the text, each with its NUL.  What the pipe can't take is dropped.
 */
struct xenlight_log {
    uint32_t size; /* bytes, this head included */
    int32_t level;
    int32_t errnoval;
};

/* ---- calls: results as libxl's (0, or a negative ERROR_*) ---- */

/* `log_fd`: where log lines go; non-blocking. */
int xenlight_open(const struct xenlight *library, int log_fd, libxl_ctx **ctx);
/* `restore_fd` -1: the domain is booted.  `checkpointed_stream`: as libxl's, 1 = Remus.
 * `domid` is ~0 when there is none after it. */
int xenlight_create(const struct xenlight *library, libxl_ctx *ctx, const char *json,
                    int restore_fd, int checkpointed_stream, uint32_t *domid);
/* An interface, by its part of the configuration; any thread may, while a domain is
 * created by another one. */
int xenlight_add_nic(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                     const char *json);
int xenlight_remove_nic(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                        const char *json);
/* The configuration that libxl keeps of a domain; what is given is for free(). */
int xenlight_store_config(const struct xenlight *library, libxl_ctx *ctx,
                          uint32_t domid, const char *json);
int xenlight_stored_config(const struct xenlight *library, libxl_ctx *ctx,
                           uint32_t domid, char **json);
int xenlight_unpause(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid);
int xenlight_destroy(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid);
int xenlight_rename(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                    const char *old_name, const char *new_name);
int xenlight_core_dump(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                       const char *filename);
int xenlight_watch_death(const struct xenlight *library, libxl_ctx *ctx,
                         uint32_t domid);
/* Waits for the next shutdown or death of a watched domain. */
int xenlight_wait(const struct xenlight *library, libxl_ctx *ctx, uint32_t *domid,
                  int *type, int *reason);

#endif
