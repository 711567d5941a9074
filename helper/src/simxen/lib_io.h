/* Exact reading and writing of the stream's descriptor. */
#ifndef SIMXEN_LIB_IO_H
#define SIMXEN_LIB_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define IO_VECTOR_MAX 1024 /* IOV_MAX of Linux */

/* All of these: 0 when every byte was moved, else -1 and errno; that is 0 where the stream
 * ends, as libxc has it. They go on after EINTR and partial transfers and wait where the
 * descriptor is non-blocking. The vectors are used up. */
int io_write_vector(int fd, struct iovec *vector, int count);
int io_read_vector(int fd, struct iovec *vector, int count);
int io_write(int fd, const void *data, size_t size);
int io_read(int fd, void *data, size_t size);

/* If it is a pipe, make it larger if we may. */
void io_prepare_pipe(int fd);

/* ---- lib_splice.c: a pipe of our own between memory or a file and the stream ---- */

struct relay {
    int read_end, write_end; /* -1: there is none */
    size_t size;
    bool proven; /* it worked once: from then on EINVAL is an error like any other */
};

void relay_open(struct relay *relay);
void relay_close(struct relay *relay);
static inline bool relay_usable(const struct relay *relay)
{
    return relay->read_end >= 0;
}

/* Bytes for one relay_write(). Half of it: however the pages fall, it never waits for room. */
static inline size_t relay_capacity(const struct relay *relay)
{
    return relay->size / 2;
}

/* Copy a vector of `size` bytes, at most relay_capacity(), into a stream that is a pipe. */
int relay_write(int stream_fd, struct relay *relay, struct iovec *vector, int count, size_t size);

/* Between a file and the stream without mapping the file. 0 when all was moved, -1 and errno, or
 * 1: the stream can't splice, nothing was moved and the relay is closed. All bytes were copied on
 * return. */
int splice_to_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size);
int splice_from_file(int stream_fd, struct relay *relay, int file_fd, uint64_t offset, size_t size);

/* Shared with lib_io.c. After a failed call on fd: 0 to call again, -1 if errno is final. */
int io_again(int fd, short events);

#endif
