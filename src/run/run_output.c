/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run_output.h"

#include "base/logging.h"
#include "files/json.h"
#include "mixing/mixer_internal.h"
#include "run/config.h"
#include "run/own_lines.h"
#include "run/resize.h"
#include "run/resume.h"
#include "run/run_files.h"
#include "run/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static sgp_status_t write_config(const run_t *run, const char *name) {
    return files_json_write(run->options->output, name,
                            config_json(run->options, &run->replica, run->id, &run->resumed));
}

/* The lines of the nodes that begin here are not written before the epoch's end; those of nodes before them, which have
 * made a part of it, are. */
static sgp_status_t begin_metrics(const run_t *run, uint64_t finished) {
    const epochs_t *before = &run->origin.epochs;
    const char *output = run->options->output;
    sgp_status_t status =
        resume_metrics(run->options->resume, output, finished, before->start + before->first);
    return status ? status : resize_write_lines(run);
}

/* What this process has told of an epoch before (run/run_live.h). */
static sgp_status_t remove_own_lines(const run_t *run) {
    char name[OWN_LINES_NAME];
    own_lines_name(run->rank, name);
    return run->options->output ? atomic_file_remove(run->options->output, name) : SGP_OK;
}

static sgp_status_t begin_files(run_t *run) {
    sgp_status_t own = remove_own_lines(run);
    if (own || !run_writes(run)) return own;
    const char *output = run->options->output;
    const epochs_t *epochs = &run->replica.epochs;
    uint64_t finished = epochs_finished(epochs, run->step);
    sgp_status_t status = atomic_file_remove(output, "summary.json"); /* of an earlier run */
    if (!status) status = run_files_remove_own_lines(output, run->founders);
    if (!status) status = write_config(run, "config.json");
    if (!status && run->step > 0) status = begin_metrics(run, finished);
    else if (!status) status = atomic_file_replace(output, METRICS_FILE, NULL, 0);
    if (!status && run->options->tensorboard)
        status = run_tensorboard_begin(&run->tensorboard, output, run->size, run->options->workers,
                                       epochs_start(epochs, finished));
    return status;
}

static sgp_status_t begin_trace(run_t *run) {
    if (!run->options->trace) return SGP_OK;
    const char *directory = run_writes(run) ? run->options->output : NULL;
    sgp_status_t status =
        run_trace_begin(&run->trace, directory, RUN_TRACE_SPANS, run->options->workers);
    sgp_mixer_trace(run->replica.mixer, run->trace.trace);
    return status;
}

sgp_status_t run_output_begin(run_t *run) {
    run->writer = presence_first(run->group);
    sgp_status_t status = begin_files(run);
    return status ? status : begin_trace(run);
}

/* On another machine than that of the lost node the files begin here. What it wrote in its last moments is dropped: the
 * lines of an epoch that it did not finish, and half a line. */
sgp_status_t run_output_take_over(run_t *run, uint64_t epochs) {
    const char *output = run->options->output;
    sgp_status_t status = resume_metrics(output, output, epochs, run->written);
    if (!status && run->options->tensorboard)
        status = run_tensorboard_begin(&run->tensorboard, output, run->size, run->options->workers,
                                       run->data.start);
    return status;
}

sgp_status_t run_output_trace(run_t *run) {
    run_trace_t *trace = &run->trace;
    if (!trace->trace) return SGP_OK;
    if (run_writes(run) && !trace->writes) run_trace_take_over(trace, run->options->output);
    return run_trace_gather(trace, run->group);
}

/* Several nodes of a machine may do this at once: each renames an equal file into place. */
sgp_status_t run_output_copy_config(const run_t *run) {
    char name[32], from[PATH_MAX], to[PATH_MAX];
    const char *output = run->options->output;
    if (run_leads(run) || !output) return SGP_OK;
    snprintf(name, sizeof name, "config-%d.json", run->rank);
    if (snprintf(from, sizeof from, "%s/%s", output, name) >= PATH_MAX ||
        snprintf(to, sizeof to, "%s/config.json", output) >= PATH_MAX || access(to, F_OK) == 0)
        return SGP_OK;
    sgp_status_t status = write_config(run, name);
    if (status || rename(from, to) == 0) return status;
    return sgp_fail(SGP_ERR_IO, "%s: cannot be written: %s", to, strerror(errno));
}

sgp_status_t run_output_join(run_t *run) {
    sgp_status_t status = remove_own_lines(run);
    if (!status) status = run_output_copy_config(run);
    return status ? status : begin_trace(run);
}

static sgp_status_t write_summary(const run_t *run, const train_summary_t *summary) {
    return files_json_write(run->options->output, "summary.json",
                            train_summary_json(run->options, summary));
}

/* "node 3 in step 120, node 1 in step 200"; cut at `room`. */
static void print_losses(const run_losses_t *losses, char *text, size_t room) {
    size_t length = 0;
    for (int i = 0; i < losses->count && length < room; i++)
        length += (size_t)snprintf(text + length, room - length, "%snode %d in step %" PRIu64,
                                   i ? ", " : "", losses->agreed[i].node, losses->agreed[i].step);
}

static sgp_status_t write_model(const run_t *run, const char *hash) {
    const replica_t *replica = &run->replica;
    char size[16], losses[1024];
    safetensors_pair_t pairs[MODEL_FILE_PAIRS + 5];
    model_file_about_t about;
    model_file_normalisation_t images = replica_normalisation(replica);
    size_t count = model_file_describe(&about, &images, pairs);
    pairs[count++] = (safetensors_pair_t){"model", run->options->model};
    pairs[count++] = (safetensors_pair_t){RUN_ID_KEY, run->id};
    pairs[count++] = (safetensors_pair_t){"parameters_hash", hash};
    snprintf(size, sizeof size, "%d", feed_shape(replica->feed)->height);
    if (feed_shape(replica->feed)->pictures)
        pairs[count++] = (safetensors_pair_t){MODEL_FILE_IMAGE_SIZE, size};
    print_losses(&run->losses, losses, sizeof losses);
    if (run->losses.count > 0) pairs[count++] = (safetensors_pair_t){"losses", losses};
    return model_file_write(run->options->output, "model.safetensors", replica->model,
                            replica->average, pairs, count);
}

sgp_status_t run_output_finish(const run_t *run, const train_summary_t *summary) {
    if (!run_writes(run)) return SGP_OK;
    sgp_status_t status = write_model(run, summary->parameters_hash);
    if (!status) status = run_files_remove_own_lines(run->options->output, 0);
    return status ? status : write_summary(run, summary);
}

void run_output_end_early(const run_t *run, const train_summary_t *summary) {
    const char *output = run->options->output;
    if (output && access(output, W_OK) == 0) write_summary(run, summary);
}
