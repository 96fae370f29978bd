/* SPDX-License-Identifier: Apache-2.0 */
/* Each writes its endpoint under a name of its own, gives it the name that the others look for once it is
 * whole, and renames it when it has read all the others'. Whoever finds that all have, removes them. */
#include "group/join/exchange.h"

#include "base/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_PAUSE_MS = 2, LONGEST_PAUSE_MS = 100, NAME = 64 };

typedef struct board {
    const char *path;
    int directory;
    const sgp_endpoint_t *mine;
    const sgp_deadline_t *deadline;
    sgp_endpoint_t *endpoints; /* (size) */
} board_t;

static const char *name_of(const char *kind, int rank, char name[NAME]) {
    snprintf(name, NAME, "%s-%d", kind, rank);
    return name;
}

static sgp_status_t cannot_write(const board_t *board, int error) {
    return sgp_fail(SGP_ERR_SYSTEM, "cannot write into the rendezvous directory %s: %s",
                    board->path, strerror(error));
}

/* A name that nobody else has, on any machine: the run is random. */
static void draft_name(const board_t *board, char name[NAME]) {
    snprintf(name, NAME, ".card-%d-%016llx", board->mine->rank,
             (unsigned long long)board->mine->run);
}

static sgp_status_t write_draft(const board_t *board, const char *name) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    int file = openat(board->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) return cannot_write(board, errno);
    sgp_endpoint_encode(board->mine, bytes);
    ssize_t written = write(file, bytes, sizeof bytes);
    int error = written < 0 ? errno : written != sizeof bytes ? ENOSPC : 0;
    if (close(file) != 0 && !error) error = errno;
    return error ? cannot_write(board, error) : SGP_OK;
}

/* A link, unlike a rename, fails if the name is there. */
static sgp_status_t publish(const board_t *board) {
    char draft[NAME], name[NAME];
    draft_name(board, draft);
    sgp_status_t status = write_draft(board, draft);
    name_of("card", board->mine->rank, name);
    if (status == SGP_OK && linkat(board->directory, draft, board->directory, name, 0) != 0) {
        if (errno == EEXIST)
            status = sgp_fail(SGP_ERR_INVALID,
                              "rank %d is taken in %s: two nodes claim one rank, or the directory "
                              "is left from another run",
                              board->mine->rank, board->path);
        else status = cannot_write(board, errno);
    }
    unlinkat(board->directory, draft, 0);
    return status;
}

/* SGP_ERR_AGAIN: not there yet. */
static sgp_status_t read_endpoint(const board_t *board, int rank) {
    unsigned char bytes[SGP_ENDPOINT_BYTES];
    char name[NAME];
    int file = openat(board->directory, name_of("card", rank, name), O_RDONLY | O_CLOEXEC);
    if (file < 0)
        file = openat(board->directory, name_of("read", rank, name), O_RDONLY | O_CLOEXEC);
    if (file < 0 && (errno == ENOENT || errno == ESTALE)) return SGP_ERR_AGAIN;
    if (file < 0)
        return sgp_fail(SGP_ERR_SYSTEM, "cannot read %s in %s: %s", name, board->path,
                        strerror(errno));
    ssize_t got = read(file, bytes, sizeof bytes);
    close(file);
    /* A network's file system may show a name before what it names. */
    if (got >= 0 && got < (ssize_t)sizeof bytes) return SGP_ERR_AGAIN;
    if (got != sizeof bytes || sgp_endpoint_decode(bytes, &board->endpoints[rank]) != SGP_OK)
        return sgp_fail(SGP_ERR_MISMATCH, "%s in %s is not an endpoint of this version of sgp",
                        name, board->path);
    return SGP_OK;
}

static sgp_status_t read_all(const board_t *board) {
    int pause = FIRST_PAUSE_MS;
    for (int rank = 0; rank < board->mine->size;) {
        sgp_status_t status = read_endpoint(board, rank);
        if (status == SGP_OK) {
            rank++;
            continue;
        }
        if (status != SGP_ERR_AGAIN) return status;
        int left = sgp_deadline_left_ms(board->deadline);
        if (left == 0)
            return sgp_fail(SGP_ERR_TIMEOUT, "node %d of %d did not come within %d ms", rank,
                            board->mine->size, board->deadline->timeout_ms);
        poll(NULL, 0, pause < left ? pause : left);
        pause = pause < LONGEST_PAUSE_MS ? 2 * pause : LONGEST_PAUSE_MS;
    }
    return SGP_OK;
}

static void clear(const board_t *board) {
    char name[NAME], read[NAME];
    renameat(board->directory, name_of("card", board->mine->rank, name), board->directory,
             name_of("read", board->mine->rank, read));
    for (int rank = 0; rank < board->mine->size; rank++)
        if (faccessat(board->directory, name_of("read", rank, name), F_OK, 0) != 0) return;
    for (int rank = 0; rank < board->mine->size; rank++)
        unlinkat(board->directory, name_of("read", rank, name), 0);
}

sgp_status_t sgp_exchange_directory(const char *directory, const sgp_endpoint_t *mine,
                                    const sgp_deadline_t *deadline, sgp_endpoint_t **all) {
    board_t board = {.path = directory, .mine = mine, .deadline = deadline};
    char name[NAME];
    board.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (board.directory < 0)
        return sgp_fail(SGP_ERR_INVALID, "rendezvous directory %s: %s", directory, strerror(errno));
    board.endpoints = calloc((size_t)mine->size, sizeof *board.endpoints);
    sgp_status_t status =
        board.endpoints ? publish(&board)
                        : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d endpoints", mine->size);
    if (status == SGP_OK) {
        status = read_all(&board);
        if (status == SGP_OK) clear(&board);
        else unlinkat(board.directory, name_of("card", mine->rank, name), 0);
    }
    close(board.directory);
    if (status == SGP_OK) *all = board.endpoints;
    else free(board.endpoints);
    return status;
}
