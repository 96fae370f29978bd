/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train` is three programs: a launcher of nodes, one node of a group that another launcher has started, and all
 * nodes as threads. */
#include "cli/claim.h"
#include "command.h"
#include "launch/self.h"
#include "cli/message.h"
#include "cli/interrupt.h"
#include "launch/node.h"
#include "launch/threads.h"
#include "cli/resume_options.h"
#include "cli/train_settings.h"
#include "report/run_summary.h"

#include "data/feed.h"
#include "run/run_id.h"
#include "files/json.h"
#include "run/mixing_plan.h"
#include "run/preset.h"
#include "run/resume.h"
#include "run/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Seconds after Ctrl-C for the current step, the checkpoint and the report, at least. Nodes give up on a node that does
 * not halt a little earlier, see run/halt.h; where steps take long they ask for more. */
enum { INTERRUPT_GRACE = 45 };

/* The run's id from its config.json; "" if it cannot be read. */
static void find_id(const char *config, char *id, size_t room) {
    char problem[FILES_JSON_PROBLEM];
    json_t *json;
    if (files_json_read(config, &json, problem) != SGP_OK) return;
    const char *found = json_string_value(json_object_get(json, RUN_ID_KEY));
    snprintf(id, room, "%s", found ? found : "");
    json_decref(json);
}

/* Writes summary.json for a node 0 that was killed after the run had begun. */
static void write_for_node_0(const settings_t *settings, int status, const char *reason) {
    const char *output = settings->run.output;
    char path[OUTPUT_PATH + 16];
    snprintf(path, sizeof path, "%s/summary.json", output);
    if (access(path, F_OK) == 0) return;
    snprintf(path, sizeof path, "%s/config.json", output);
    if (status == EXIT_MISTAKE || access(path, F_OK) != 0) return;
    train_summary_t summary;
    train_summary_early(&summary, status > 128 ? TRAIN_INTERRUPTED : TRAIN_FAILED);
    find_id(path, summary.run_id, sizeof summary.run_id);
    snprintf(summary.reason, sizeof summary.reason, "%s", reason);
    files_json_write(output, "summary.json", train_summary_json(&settings->run, &summary));
    summary_print_early(settings, &summary);
}

/* The nodes take the same arguments, behind --output: the directory's name is decided once. */
static int launch_nodes(const settings_t *settings, int argc, char **argv) {
    const char *const added[] = {"--output", settings->run.output, NULL};
    char reason[LAUNCH_REASON];
    int status =
        self_launch((launch_options_t){.nodes = settings->run.nodes * settings->run.workers,
                                       .workers = settings->run.workers,
                                       .once = true,
                                       .goes_on = train_goes_on(&settings->run),
                                       .grace = INTERRUPT_GRACE,
                                       .speaks = true,
                                       .records = settings->run.output,
                                       .reason = reason},
                    settings->run.transport, &settings->joining, added, argc, argv);
    if (status) write_for_node_0(settings, status, reason);
    return status;
}

/* What the preset stands for, in the terms of the manual. */
static void print_preset(const settings_t *settings) {
    const char *text = preset_text(settings->run.preset);
    if (text && !settings->quiet && !settings->run.resume)
        message_line("preset %s: %s", settings->run.preset, text);
}

/* Checks before the start, so that one process reports a mistake and not every node. */
static bool check_run(const settings_t *settings) {
    const train_options_t *run = &settings->run;
    char path[TRAIN_PATH];
    return train_check(run) == SGP_OK &&
           feed_check(train_data_path(run, 0, path), run->limit_samples) == SGP_OK;
}

/* Once the run's directory is claimed. */
static int run_claimed(settings_t *settings, const claim_t *claim, bool threads, int argc,
                       char **argv) {
    uint64_t step;
    if (settings->run.resume && resume_check(&settings->run, &step) != SGP_OK) return EXIT_MISTAKE;
    if (!claim_clear(claim)) return EXIT_MISTAKE;
    settings->run.output = claim->output;
    if (threads) return threads_run(settings);
    claim_export(claim);
    return launch_nodes(settings, argc, argv);
}

/* Starts all nodes. */
static int start_nodes(settings_t *settings, bool threads, int argc, char **argv) {
    claim_t claim = CLAIM_NONE;
    train_summary_t summary;
    if (settings->run.resume && resume_finished(settings->run.resume, &summary))
        return node_show_finished(settings, &summary);
    if (threads && !getenv("OMP_NUM_THREADS")) return self_restart(argv);
    if (!check_run(settings)) return EXIT_MISTAKE;
    print_preset(settings);
    int status = EXIT_MISTAKE;
    if (claim_begin(settings, &claim)) status = run_claimed(settings, &claim, threads, argc, argv);
    claim_release(&claim);
    return status;
}

/* One node of a group. A node that joins by hand checks its options before it waits for the others. */
static int be_node(settings_t *settings, node_placement_t *place, char **argv) {
    if (!getenv("OMP_NUM_THREADS")) return self_restart(argv);
    if (place->joins && settings->run.resume && place->rank < 0) {
        message_error("--resume %s: with --join each node needs the rank that it had: --rank R",
                      settings->run.resume);
        return EXIT_MISTAKE;
    }
    settings->run.here = node_placement_local();
    if (place->joins && !check_run(settings)) return EXIT_MISTAKE;
    if (place->joins && place->rank == 0) print_preset(settings);
    return node_run(settings, place);
}

/* --join without --nodes names a member of a run that is under way; with it, the place where a run begins. */
static bool joins_running(const settings_t *settings) {
    return settings->joining.join && settings->run.nodes == 0 && !getenv("SGP_SIZE") &&
           !settings->run.resume;
}

static int train(settings_t *settings, int usual, int argc, char **argv) {
    node_placement_t place;
    if (joins_running(settings))
        return getenv("OMP_NUM_THREADS") ? node_join(settings, argc, argv) : self_restart(argv);
    bool threads = strcmp(settings->run.transport, "loopback") == 0;
    if (!node_placement_find(settings, &place)) return EXIT_MISTAKE;
    if (settings->run.nodes == 0 && !place.placed) settings->run.nodes = usual;
    if (!joining_check(&settings->joining, settings->run.transport, place.placed))
        return EXIT_MISTAKE;
    if (!node_placement_set_nodes(settings, &place, true)) return EXIT_MISTAKE;
    message_workers(settings->run.workers);
    if (threads && place.placed) {
        message_error("--transport loopback: all nodes are in one process, but this one is a node "
                      "of a group (%s)",
                      place.source);
        return EXIT_MISTAKE;
    }
    if (threads && settings->watching.status) {
        message_error("--status %s: the page is about nodes that are processes: --transport shm, "
                      "tcp or auto, not loopback",
                      settings->watching.status);
        return EXIT_MISTAKE;
    }
    if (place.placed) return be_node(settings, &place, argv);
    if (strcmp(settings->run.transport, "mpi") == 0) {
        message_error("--transport mpi: needs mpirun: mpirun -n %d sgp train --transport mpi",
                      settings->run.nodes * settings->run.workers);
        return EXIT_MISTAKE;
    }
    return start_nodes(settings, threads, argc, argv);
}

/* Continues the run in settings->run.resume. */
static int train_on(settings_t *settings, int usual, int argc, char **argv) {
    json_t *config;
    bool good = resume_settings(&config, argc, argv, settings);
    int status = good ? train(settings, usual, argc, argv) : EXIT_MISTAKE;
    json_decref(config);
    return status;
}

int command_train(int argc, char **argv) {
    settings_t settings;
    prctl(PR_SET_NAME, "sgp"); /* a node is executed as SELF_FILE, and would be listed as "exe" */
    settings_init(&settings);
    int usual = settings.run.nodes;
    settings.run.nodes = 0; /* follows the launcher, unless --nodes is given */
    if (!settings_parse(&settings, argc, argv)) return EXIT_MISTAKE;
    if (settings.help) options_help(&train_table);
    if (settings.version) puts("sgp " SGP_VERSION);
    if (settings.help || settings.version) return 0;
    if (!watching_check(&settings.watching)) return EXIT_MISTAKE;
    watching_export(&settings.watching, settings.run.output);
    message_log_library(&interrupt_signal);
    return settings.run.resume ? train_on(&settings, usual, argc, argv)
                               : train(&settings, usual, argc, argv);
}
