/* Exact reading and writing of the stream's descriptor. */
#ifndef SIMXEN_LIB_IO_H
#define SIMXEN_LIB_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define IO_VECTOR_MAX 1024 /* IOV_MAX of Linux */

/* All of these: 0 when every byte was moved, else -1 and errno (EPIPE: the stream ended).
 * They go on after EINTR and partial transfers and wait where the descriptor is non-blocking.
 * The vectors are used up. */
int io_write_vector(int fd, struct iovec *vector, int count);
int io_read_vector(int fd, struct iovec *vector, int count);
int io_write(int fd, const void *data, size_t size);
int io_read(int fd, void *data, size_t size);

/* Is it a pipe? Then also make it 1 MiB if we may. */
bool io_prepare_pipe(int fd);

/* ---- lib_splice.c: between a file and a stream without mapping the file ---- */

/* A pipe of our own to move through where the stream is none; -1, -1: can't be done here. */
struct relay {
    int read_end, write_end;
    bool proven; /* it worked once: from then on EINVAL is an error like any other */
};

void relay_open(struct relay *relay);
void relay_close(struct relay *relay);
static inline bool relay_usable(const struct relay *relay)
{
    return relay->read_end >= 0;
}

/* 0 when all was moved, -1 and errno, or 1: the descriptor can't splice, nothing was moved and
 * the relay is closed. `relay` NULL: stream_fd is a pipe. All bytes are copied on return. */
int splice_to_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size);
int splice_from_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size);

/* Shared with lib_io.c. After a failed call on fd: 0 to call again, -1 if errno is final. */
int io_again(int fd, short events);

#endif
