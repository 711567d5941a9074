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

/* Move bytes from a pipe into a file at an offset, without mapping either. */
int io_splice(int pipe_fd, int file_fd, uint64_t offset, size_t size);

/* Is it a pipe? Then also make it 1 MiB if we may. */
bool io_prepare_pipe(int fd);

#endif
