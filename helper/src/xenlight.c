#define _GNU_SOURCE
#include "xenlight.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbols.h"

enum {
    SHUTDOWN_AND_DEATH = 1 << 1 | 1 << 2, /* mask of libxl_event_type */
    NO_DOMID = -1,
    ERROR_NOMEM = -5,
    ERROR_FAIL = -3,
};

/* Under which libxl keeps a domain's configuration. */
static const char *const CONFIG_ID = "libxl-json";

/* ---- loading ---- */

int xenlight_load(struct xenlight *library, const char *name,
                  char error[XENLIGHT_ERROR_MAX])
{
    const struct symbol symbols[] = {
        { "libxl_ctx_alloc", &library->ctx_alloc },
        { "libxl_ctx_free", &library->ctx_free },
        { "libxl_domain_config_init", &library->config_init },
        { "libxl_domain_config_dispose", &library->config_dispose },
        { "libxl_domain_config_from_json", &library->config_from_json },
        { "libxl_domain_restore_params_init", &library->restore_params_init },
        { "libxl_domain_create_restore", &library->create_restore },
        { "libxl_domain_create_new", &library->create_new },
        { "libxl_domain_unpause", &library->unpause },
        { "libxl_domain_destroy", &library->destroy },
        { "libxl_domain_rename", &library->rename },
        { "libxl_device_nic_init", &library->nic_init },
        { "libxl_device_nic_dispose", &library->nic_dispose },
        { "libxl_device_nic_from_json", &library->nic_from_json },
        { "libxl_device_nic_add", &library->nic_add },
        { "libxl_device_nic_destroy", &library->nic_destroy },
        { "libxl_userdata_store", &library->userdata_store },
        { "libxl_userdata_retrieve", &library->userdata_retrieve },
        { "libxl_domain_core_dump", &library->core_dump },
        { "libxl_evenable_domain_death", &library->watch_death },
        { "libxl_event_wait", &library->event_wait },
        { "libxl_event_free", &library->event_free },
    };
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    const char *missing;

    if (!handle) {
        snprintf(error, XENLIGHT_ERROR_MAX, "cannot load: %s", dlerror());
        return -1;
    }
    missing = find_symbols(handle, symbols, sizeof(symbols) / sizeof(symbols[0]));
    if (missing) {
        snprintf(error, XENLIGHT_ERROR_MAX, "%s has no %s", name, missing);
        return -1;
    }
    return 0;
}

/* ---- logging ---- */

static int log_pipe = -1;

static void send_line(int level, int errnoval, const char *context, const char *text)
{
    char line[PIPE_BUF]; /* the most that one write is sure not to split */
    struct xenlight_log head = { 0, level, errnoval };
    size_t room = sizeof(line) - sizeof(head);
    int length = snprintf(line + sizeof(head), room, "%s%c%s", context ? context : "",
                          '\0', text);

    if (length < 0)
        return;
    if ((size_t)length >= room)
        length = (int)room - 1;
    head.size = (uint32_t)(sizeof(head) + (size_t)length + 1);
    memcpy(line, &head, sizeof(head));
    if (write(log_pipe, line, head.size) < 0)
        return; /* full or closed: a line less */
}

static void log_vmessage(struct xentoollog_logger *logger, xentoollog_level level,
                         int errnoval, const char *context, const char *format,
                         va_list arguments)
{
    int saved_errno = errno;
    char text[2048];

    (void)logger;
    if (level > XTL_DEBUG && vsnprintf(text, sizeof(text), format, arguments) >= 0)
        send_line((int)level, errnoval, context, text);
    errno = saved_errno;
}

static void log_progress(struct xentoollog_logger *logger, const char *context,
                         const char *doing_what, int percent, unsigned long done,
                         unsigned long total)
{
    (void)logger; /* a restore has none */
    (void)context;
    (void)doing_what;
    (void)percent;
    (void)done;
    (void)total;
}

static void log_destroy(struct xentoollog_logger *logger)
{
    (void)logger;
}

static struct xentoollog_logger logger_instance = {
    .vmessage = log_vmessage,
    .progress = log_progress,
    .destroy = log_destroy,
};

/* ---- calls ---- */

int xenlight_open(const struct xenlight *library, int log_fd, libxl_ctx **ctx)
{
    log_pipe = log_fd;
    return library->ctx_alloc(ctx, 0, 0, &logger_instance);
}

static int restore(const struct xenlight *library, libxl_ctx *ctx,
                   libxl_domain_config *config, int restore_fd, int checkpointed_stream,
                   uint32_t *domid)
{
    union {
        struct xenlight_params front;
        uint64_t whole[XENLIGHT_PARAMS_MAX / 8];
    } params;

    memset(&params, 0, sizeof(params));
    library->restore_params_init((libxl_domain_restore_params *)&params);
    params.front.checkpointed_stream = checkpointed_stream;
    params.front.stream_version = XENLIGHT_STREAM_VERSION;
    return library->create_restore(ctx, config, domid, restore_fd, -1,
                                   (libxl_domain_restore_params *)&params, NULL, NULL);
}

int xenlight_create(const struct xenlight *library, libxl_ctx *ctx, const char *json,
                    int restore_fd, int checkpointed_stream, uint32_t *domid)
{
    libxl_domain_config *config = calloc(1, XENLIGHT_CONFIG_MAX);
    int rc;

    *domid = (uint32_t)NO_DOMID;
    if (!config)
        return ERROR_NOMEM;
    library->config_init(config);
    rc = library->config_from_json(ctx, config, json);
    if (!rc && restore_fd >= 0)
        rc = restore(library, ctx, config, restore_fd, checkpointed_stream, domid);
    else if (!rc)
        rc = library->create_new(ctx, config, domid, NULL, NULL);
    library->config_dispose(config);
    free(config);
    return rc;
}

static int on_nic(const struct xenlight *library, libxl_ctx *ctx,
                  libxl_device_nic_op_fn *op, uint32_t domid, const char *json)
{
    libxl_device_nic *nic = calloc(1, XENLIGHT_NIC_MAX);
    int rc;

    if (!nic)
        return ERROR_NOMEM;
    library->nic_init(nic);
    rc = library->nic_from_json(ctx, nic, json);
    if (!rc)
        rc = op(ctx, domid, nic, NULL);
    library->nic_dispose(nic);
    free(nic);
    return rc;
}

int xenlight_add_nic(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                     const char *json)
{
    return on_nic(library, ctx, library->nic_add, domid, json);
}

int xenlight_remove_nic(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                        const char *json)
{
    return on_nic(library, ctx, library->nic_destroy, domid, json);
}

int xenlight_store_config(const struct xenlight *library, libxl_ctx *ctx,
                          uint32_t domid, const char *json)
{
    size_t size = strlen(json) + 1;

    if (size > INT_MAX)
        return ERROR_FAIL;
    return library->userdata_store(ctx, domid, CONFIG_ID, (const uint8_t *)json,
                                   (int)size);
}

int xenlight_stored_config(const struct xenlight *library, libxl_ctx *ctx,
                           uint32_t domid, char **json)
{
    uint8_t *data = NULL;
    int size = 0;
    int rc = library->userdata_retrieve(ctx, domid, CONFIG_ID, &data, &size);

    if (!rc && (size <= 0 || data[size - 1]))
        rc = ERROR_FAIL; /* nothing, or no text */
    if (rc) {
        free(data);
        return rc;
    }
    *json = (char *)data;
    return 0;
}

int xenlight_unpause(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid)
{
    return library->unpause(ctx, domid, NULL);
}

int xenlight_destroy(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid)
{
    return library->destroy(ctx, domid, NULL);
}

int xenlight_rename(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                    const char *old_name, const char *new_name)
{
    return library->rename(ctx, domid, old_name, new_name);
}

int xenlight_core_dump(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid,
                       const char *filename)
{
    return library->core_dump(ctx, domid, filename, NULL);
}

int xenlight_watch_death(const struct xenlight *library, libxl_ctx *ctx, uint32_t domid)
{
    libxl_evgen_domain_death *evgen = NULL; /* lives as long as the context */

    return library->watch_death(ctx, domid, 0, &evgen);
}

int xenlight_wait(const struct xenlight *library, libxl_ctx *ctx, uint32_t *domid,
                  int *type, int *reason)
{
    libxl_event *event = NULL;
    struct xenlight_event_front front;
    int rc = library->event_wait(ctx, &event, SHUTDOWN_AND_DEATH, NULL, NULL);

    if (rc)
        return rc;
    memcpy(&front, event, sizeof(front));
    *domid = front.domid;
    *type = front.type;
    *reason = front.shutdown_reason;
    library->event_free(ctx, event);
    return 0;
}
