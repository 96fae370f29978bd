/* SPDX-License-Identifier: Apache-2.0 */
#include "run/resume.h"

#include "base/logging.h"
#include "base/regular.h"
#include "files/json.h"
#include "run/agreement.h"
#include "run/checkpoint_folder.h"
#include "run/checkpoint_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct verdict {
    sgp_status_t status;
    char problem[TENSOR_FILE_PROBLEM];
} verdict_t;

/* A run that is killed while it writes its first checkpoint leaves one folder with files missing.
 * Any other damage is an error. */
static bool may_begin_again(size_t checkpoints, sgp_status_t newest) {
    return checkpoints == 0 || (checkpoints == 1 && newest == SGP_ERR_NOT_FOUND);
}

static sgp_status_t none_is_good(size_t checkpoints, sgp_status_t status, const char *problem) {
    if (status == SGP_ERR_NOT_FOUND) status = SGP_ERR_FORMAT;
    if (checkpoints == 1) return sgp_fail(status, "%s; there is no other checkpoint", problem);
    return sgp_fail(status, "%s; none of the %zu checkpoints is good", problem, checkpoints);
}

/* With data of their own, only as many nodes as wrote the checkpoint can go on. loud: logs the error. */
static sgp_status_t check_private(const train_options_t *options, const checkpoint_origin_t *origin,
                                  uint64_t step, bool loud) {
    if (!options->private_data || origin->nodes == options->nodes) return SGP_OK;
    if (!loud) return SGP_ERR_INVALID;
    return sgp_fail(SGP_ERR_INVALID,
                    "the checkpoint of step %" PRIu64
                    " is of %d nodes with private-data: --nodes %d continues it",
                    step, origin->nodes, origin->nodes);
}

/* The parts that nodes have of the data, and their orders, are those of one number of nodes. loud: logs the error. */
static sgp_status_t check_parts(const train_options_t *options, const checkpoint_origin_t *origin,
                                uint64_t step, bool loud) {
    uint64_t begun = step - epochs_start_at(&origin->epochs, step);
    sgp_status_t status = check_private(options, origin, step, loud);
    if (status) return status;
    if (!train_keeps_parts(options) ||
        (origin->nodes == options->nodes && origin->epochs.first == 0) || begun == 0)
        return SGP_OK;
    if (!loud) return SGP_ERR_INVALID;
    return sgp_fail(SGP_ERR_INVALID,
                    "the checkpoint of step %" PRIu64 " is of %d nodes in the middle of an epoch: "
                    "with %s other nodes can go on at the end of an epoch only",
                    step, origin->nodes, options->private_data ? "private-data" : "shard-per-node");
}

/* ---- before the start: one process checks all files ---- */

static sgp_status_t check_all(const checkpoint_reader_t *reader, const checkpoint_list_t *list,
                              uint64_t *step) {
    verdict_t newest = {.status = SGP_OK};
    *step = 0;
    for (size_t i = 0; i < list->count; i++) {
        verdict_t verdict = {.status = SGP_OK};
        checkpoint_origin_t origin;
        verdict.status = checkpoint_set_check(reader, list->steps[i], &origin, verdict.problem);
        if (verdict.status == SGP_ERR_NO_MEMORY)
            return sgp_fail(verdict.status, "%s", verdict.problem);
        if (i == 0) newest = verdict;
        if (verdict.status) continue;
        *step = list->steps[i];
        return check_parts(reader->options, &origin, *step, true);
    }
    if (may_begin_again(list->count, newest.status)) return SGP_OK;
    return none_is_good(list->count, newest.status, newest.problem);
}

/* Each node's files are checked by that node alone, with its data: here the number of nodes, by the newest file of node 0. A
 * file that cannot be read is the nodes' to judge. */
static sgp_status_t check_private_nodes(const train_options_t *options) {
    char path[PATH_MAX], problem[TENSOR_FILE_PROBLEM];
    checkpoint_list_t list;
    checkpoint_origin_t origin = {.nodes = 0};
    tensor_file_t file;
    sgp_status_t status = checkpoint_list(options->resume, &list);
    if (status) return status;
    uint64_t step = list.count > 0 ? list.steps[0] : 0;
    bool found = step > 0 && checkpoint_file(options->resume, step, 0, path) == SGP_OK &&
                 tensor_file_open(path, &file, problem) == SGP_OK;
    checkpoint_list_release(&list);
    if (!found) return SGP_OK;
    bool known = checkpoint_label_nodes(&file, &origin.nodes, problem) == SGP_OK;
    tensor_file_close(&file);
    return known ? check_private(options, &origin, step, true) : SGP_OK;
}

sgp_status_t resume_check(const train_options_t *options, uint64_t *step) {
    replica_t replica;
    checkpoint_list_t list;
    char id[RUN_ID_TEXT];
    sgp_status_t status = run_id_read(options->resume, id);
    *step = 0;
    if (!status && options->private_data) return check_private_nodes(options);
    if (!status) status = replica_init(&replica, options, 0);
    if (status) return status;
    status = checkpoint_list(options->resume, &list);
    if (!status) {
        checkpoint_reader_t reader = {.directory = options->resume,
                                      .options = options,
                                      .replica = &replica,
                                      .id = id,
                                      .size = 1};
        status = check_all(&reader, &list, step);
        checkpoint_list_release(&list);
    }
    replica_fini(&replica);
    return status;
}

/* ---- at the start: each node checks its part ---- */

/* As it travels. */
typedef struct offer {
    uint64_t step;  /* of the newest checkpoint that is good to it, not above the limit; 0: none */
    uint64_t bad;   /* it has bad files, so that the run must not begin again */
    uint64_t named; /* bad files of which it has warned */
    uint64_t other; /* nodes of another number that wrote a checkpoint that it has whole; 0: none */
} offer_t;

typedef struct search {
    checkpoint_list_t list;
    size_t next;                /* index of the newest step that is good or not checked yet */
    uint64_t good;              /* step of the last good checkpoint found; 0: none */
    checkpoint_origin_t origin; /* its */
    uint64_t other;             /* as in the offer */
    uint64_t named;             /* bad files */
    verdict_t newest;           /* on the newest bad file */
} search_t;

/* Finds the newest good checkpoint up to `limit`. A missing file is not warned of here: it means a killed
 * run, the checkpoint is void on all nodes, and node 0 says so once. SGP_ERR_NO_MEMORY: a file that
 * could not be checked does not count as bad. */
static sgp_status_t look(run_t *run, search_t *search, uint64_t limit) {
    checkpoint_reader_t reader = {.directory = run->options->resume,
                                  .options = run->options,
                                  .replica = &run->replica,
                                  .id = run->id,
                                  .rank = run->rank,
                                  .size = run->founders};
    search->good = 0;
    for (; search->next < search->list.count; search->next++) {
        uint64_t step = search->list.steps[search->next];
        char problem[TENSOR_FILE_PROBLEM];
        if (step > limit) continue;
        sgp_status_t status = checkpoint_set_check(&reader, step, &search->origin, problem);
        if (!status) {
            search->good = step;
            if (search->origin.nodes != run->options->nodes)
                search->other = (uint64_t)search->origin.nodes;
            return SGP_OK;
        }
        if (status == SGP_ERR_NO_MEMORY) return sgp_fail(status, "%s", problem);
        if (status != SGP_ERR_NOT_FOUND) {
            sgp_log(SGP_LOG_WARNING, "%s", problem);
            search->named++;
        }
        if (search->newest.status) continue;
        search->newest.status = status;
        memcpy(search->newest.problem, problem, sizeof problem);
    }
    return SGP_OK;
}

/* Whether all offers are of one step. *limit: the lowest step, beyond which no node may look
 * next. */
static bool agreed(const offer_t *offers, int size, uint64_t *limit) {
    bool same = true;
    for (int i = 1; i < size; i++) same = same && offers[i].step == offers[0].step;
    *limit = UINT64_MAX;
    for (int i = 0; i < size; i++)
        if (offers[i].step < *limit) *limit = offers[i].step;
    return same;
}

/* Where a node has a whole checkpoint of other nodes and the run would begin again, some node does not see the files. */
static sgp_status_t refuse_unseen(const run_t *run, const offer_t *offers) {
    int finder = run->size;
    for (int i = run->size - 1; i >= 0; i--)
        if (offers[i].other) finder = i;
    if (finder == run->size) return SGP_OK;
    if (finder != run->rank) return SGP_ERR_NOT_FOUND;
    return sgp_fail(SGP_ERR_NOT_FOUND,
                    "%s: not all nodes have the whole checkpoint of %d nodes: to go on with %d, "
                    "each of them must see the files of all",
                    run->options->resume, (int)offers[finder].other, run->options->nodes);
}

/* Logs the choice once. */
static sgp_status_t conclude(const run_t *run, const search_t *search, const offer_t *offers) {
    const char *directory = run->options->resume;
    uint64_t step = offers[0].step, named = 0;
    int bad = -1;
    for (int i = run->size - 1; i >= 0; i--) {
        if (!presence_has(run->group, i)) continue;
        named += offers[i].named;
        if (offers[i].bad) bad = i;
    }
    if (step == 0 && bad >= 0) {
        if (bad != run->rank) return SGP_ERR_FORMAT;
        return none_is_good(search->list.count, search->newest.status, search->newest.problem);
    }
    sgp_status_t status = step == 0 ? refuse_unseen(run, offers) : SGP_OK;
    if (status || !run_leads(run)) return status;
    if (step == 0)
        sgp_log(SGP_LOG_WARNING, "%s: has no complete checkpoint: beginning from the start",
                directory);
    else if (named == 0 && step < search->list.steps[0])
        sgp_log(SGP_LOG_WARNING,
                "%s: the checkpoint of step %" PRIu64
                " is not complete: going on from step %" PRIu64,
                directory, search->list.steps[0], step);
    return SGP_OK;
}

static sgp_status_t choose(run_t *run, search_t *search, offer_t *offers, uint64_t *step) {
    uint64_t limit = UINT64_MAX;
    do {
        bool looks = search->good > limit || limit == UINT64_MAX;
        sgp_status_t own = looks ? look(run, search, limit) : SGP_OK;
        sgp_status_t status = agreement_share(run->group, own);
        if (status) return status;
        offer_t mine = {.step = search->good,
                        .bad = search->newest.status &&
                               !may_begin_again(search->list.count, search->newest.status),
                        .named = search->named,
                        .other = search->other};
        status = sgp_group_gather(run->group, &mine, sizeof mine, offers);
        if (status) return status;
        presence_fill(run->group, offers, sizeof *offers);
    } while (!agreed(offers, run->size, &limit));
    *step = offers[0].step;
    return conclude(run, search, offers);
}

static sgp_status_t refuse_mixture(const run_t *run, uint64_t step) {
    if (!run_leads(run)) return SGP_ERR_MISMATCH;
    return sgp_fail(SGP_ERR_MISMATCH,
                    "%s: in the checkpoint of step %" PRIu64
                    " the files of the nodes are of different runs",
                    run->options->resume, step);
}

/* All nodes must have found the same place in the samples; node 0 logs if they have not. */
static sgp_status_t take_origin(run_t *run, const checkpoint_origin_t *mine, uint64_t step) {
    checkpoint_origin_t *all = calloc((size_t)run->size, sizeof *all);
    sgp_status_t status =
        all ? SGP_OK : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", run->size);
    status = agreement_share(run->group, status);
    if (!status) status = sgp_group_gather(run->group, mine, sizeof *mine, all);
    if (!status) presence_fill(run->group, all, sizeof *all);
    for (int i = 0; i < run->size && !status; i++)
        if (!checkpoint_origin_same(&all[i], &all[0])) status = refuse_mixture(run, step);
    free(all);
    if (!status) status = check_parts(run->options, mine, step, run_leads(run));
    if (!status) run->origin = *mine;
    return status;
}

sgp_status_t resume_choose(run_t *run, uint64_t *step) {
    search_t search = {0};
    offer_t *offers = malloc((size_t)run->size * sizeof *offers);
    sgp_status_t own = offers ? checkpoint_list(run->options->resume, &search.list)
                              : sgp_fail(SGP_ERR_NO_MEMORY, "no memory for %d nodes", run->size);
    sgp_status_t status = agreement_share(run->group, own);
    if (!status) status = choose(run, &search, offers, step);
    if (!status && *step > 0) status = take_origin(run, &search.origin, *step);
    checkpoint_list_release(&search.list);
    free(offers);
    return status;
}

/* ---- the run's files ---- */

static bool is_up_to(const json_t *object, uint64_t step) {
    const json_t *number = json_object_get(object, "step");
    return json_is_integer(number) && json_integer_value(number) >= 1 &&
           (uint64_t)json_integer_value(number) <= step;
}

/* Whether the line, without its newline, is of an epoch from 1 to `epochs`, or of a step up to `step`; see
 * files_json_failed. */
static bool keeps(const char *line, size_t length, uint64_t epochs, uint64_t step) {
    json_t *object = files_json_parse(line, length, 0, NULL);
    json_t *epoch = json_object_get(object, "epoch");
    bool kept = json_is_integer(epoch) && json_integer_value(epoch) >= 1 &&
                ((uint64_t)json_integer_value(epoch) <= epochs || is_up_to(object, step));
    json_decref(object);
    return kept;
}

/* Copies the lines to keep. A line without its newline was cut. */
static bool filter(FILE *file, FILE *kept, uint64_t epochs, uint64_t step) {
    char *line = NULL;
    size_t room = 0;
    bool good = true;
    files_json_begin();
    for (ssize_t length; good && (length = getline(&line, &room, file)) > 0;) {
        bool stays = line[length - 1] == '\n' && keeps(line, (size_t)length - 1, epochs, step);
        good = !files_json_failed();
        if (good && stays) good = fwrite(line, 1, (size_t)length, kept) == (size_t)length;
    }
    free(line);
    return good && feof(file); /* without memory getline ends earlier */
}

sgp_status_t resume_metrics(const char *from, const char *output, uint64_t epochs, uint64_t step) {
    char path[PATH_MAX], *text = NULL;
    size_t length;
    if (snprintf(path, sizeof path, "%s/" METRICS_FILE, from) >= PATH_MAX)
        return sgp_fail(SGP_ERR_INVALID, "%.100s...: the path is too long", from);
    char problem[SGP_REGULAR_PROBLEM];
    int descriptor = -1;
    if (sgp_regular_open(path, &descriptor, problem)) {
        sgp_log(SGP_LOG_WARNING, "%s: %s; beginning a new file", path, problem);
        return atomic_file_replace(output, METRICS_FILE, NULL, 0);
    }
    FILE *file = fdopen(descriptor, "r");
    if (!file) {
        close(descriptor);
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to read it", path);
    }
    FILE *kept = open_memstream(&text, &length);
    bool good = kept && filter(file, kept, epochs, step);
    if (kept && fclose(kept) != 0) good = false;
    good = good && text; /* which fclose drops without an error if it cannot trim it */
    fclose(file);
    sgp_status_t status =
        good ? atomic_file_replace(output, METRICS_FILE, &(atomic_file_part_t){text, length}, 1)
             : sgp_fail(SGP_ERR_IO, "%s: cannot be read, or no memory", path);
    free(text);
    return status;
}
