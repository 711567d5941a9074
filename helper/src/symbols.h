/* Functions of a library that is loaded at run time. */
#ifndef LIBXLPY_SYMBOLS_H
#define LIBXLPY_SYMBOLS_H

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

/* One function a library must have, and where its address goes. */
struct symbol {
    const char *name;
    void *slot; /* points at a function pointer */
};

/* Finds all; returns the name of the first that is not there, or NULL. */
static inline const char *find_symbols(void *handle, const struct symbol *symbols,
                                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *address = dlsym(handle, symbols[i].name);

        if (!address)
            return symbols[i].name;
        memcpy(symbols[i].slot, &address, sizeof(address));
    }
    return NULL;
}

#endif
