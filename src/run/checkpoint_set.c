/* SPDX-License-Identifier: Apache-2.0 */
#include "run/checkpoint_set.h"

#include "base/constants.h"
#include "run/checkpoint_folder.h"

#include <stdio.h>
#include <string.h>

/* The origin of the files looked at so far. */
typedef struct origins {
    bool some;
    checkpoint_origin_t origin;
} origins_t;

static sgp_status_t open_file(const checkpoint_reader_t *reader, uint64_t step, int rank,
                              tensor_file_t *file, char *problem) {
    char path[PATH_MAX];
    sgp_status_t status = checkpoint_file(reader->directory, step, rank, path);
    if (!status) return tensor_file_open(path, file, problem);
    snprintf(problem, TENSOR_FILE_PROBLEM, "its path is too long");
    return status;
}

/* Whether it was written with the files before it. */
static sgp_status_t check_origin(const checkpoint_reader_t *reader, const tensor_file_t *file,
                                 uint64_t step, origins_t *origins, char *problem) {
    checkpoint_origin_t origin;
    sgp_status_t status =
        checkpoint_label_origin(file, reader->options, reader->replica, step, &origin, problem);
    if (status) return status;
    if (!origins->some) origins->origin = origin;
    origins->some = true;
    if (checkpoint_origin_same(&origin, &origins->origin)) return SGP_OK;
    snprintf(problem, TENSOR_FILE_PROBLEM,
             "%.300s: is of another run: it had come to another sample by this step", file->path);
    return SGP_ERR_MISMATCH;
}

/* whole: also its hash. nodes: of the checkpoint. */
static sgp_status_t check_file(const checkpoint_reader_t *reader, uint64_t step, int rank,
                               int nodes, bool whole, origins_t *origins, char *problem) {
    tensor_file_t file;
    checkpoint_label_t label;
    sgp_status_t status = open_file(reader, step, rank, &file, problem);
    if (status) return status;
    if (whole) status = tensor_file_check(&file, problem);
    checkpoint_label_init(&label, reader->options, nodes, reader->replica, reader->id, step, rank);
    if (!status) status = checkpoint_label_compare(&file, &label, problem);
    if (!status) status = check_origin(reader, &file, step, origins, problem);
    tensor_file_close(&file);
    return status;
}

static sgp_status_t read_nodes(const checkpoint_reader_t *reader, uint64_t step, int rank,
                               int *nodes, char *problem) {
    tensor_file_t file;
    sgp_status_t status = open_file(reader, step, rank, &file, problem);
    if (status) return status;
    status = checkpoint_label_nodes(&file, nodes, problem);
    tensor_file_close(&file);
    return status;
}

/* *nodes: of the checkpoint. Where it has no file of this rank, and another number of nodes may have written it, file 0
 * says it. A file that cannot be read is left to check_file. SGP_ERR_NO_MEMORY. */
static sgp_status_t find_nodes(const checkpoint_reader_t *reader, uint64_t step, int *nodes,
                               char *problem) {
    *nodes = reader->options->nodes;
    sgp_status_t status = read_nodes(reader, step, reader->rank, nodes, problem);
    if (status == SGP_ERR_NOT_FOUND) status = read_nodes(reader, step, 0, nodes, problem);
    return status == SGP_ERR_NO_MEMORY ? status : SGP_OK;
}

/* The process's own file comes first: if it is damaged, so may be the number of nodes in it. */
sgp_status_t checkpoint_set_check(const checkpoint_reader_t *reader, uint64_t step,
                                  checkpoint_origin_t *origin, char problem[TENSOR_FILE_PROBLEM]) {
    origins_t origins = {.some = false};
    int nodes, workers = reader->options->workers;
    sgp_status_t verdict = find_nodes(reader, step, &nodes, problem);
    if (verdict) return verdict;
    int count = nodes <= SGP_MOST_PROCESSES / workers ? nodes * workers : reader->rank + 1;
    for (int i = 0; i < count; i++) {
        char found[TENSOR_FILE_PROBLEM];
        int rank = (reader->rank % count + i) % count;
        bool mine = rank % reader->size == reader->rank;
        if (!mine && nodes == reader->options->nodes) continue;
        sgp_status_t status = check_file(reader, step, rank, nodes, mine, &origins, found);
        if (!status || (verdict && status == SGP_ERR_NOT_FOUND)) continue;
        verdict = status;
        memcpy(problem, found, TENSOR_FILE_PROBLEM);
        if (status != SGP_ERR_NOT_FOUND) break;
    }
    if (!verdict) *origin = origins.origin;
    return verdict;
}
