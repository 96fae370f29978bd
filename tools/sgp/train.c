/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp train` is three programs: a launcher of nodes, one node of a group that somebody else has
 * started, and all nodes in threads. */
#include "command.h"
#include "launch.h"
#include "message.h"
#include "interrupt.h"
#include "mpi_place.h"
#include "node.h"
#include "output.h"
#include "resume.h"
#include "settings.h"
#include "summary.h"

#include "data/dataset.h"
#include "train/resume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

/* The nodes are this program with the same arguments; the directory's name is decided once. */
static int launch_nodes(const settings_t *settings, int argc, char **argv) {
    char **arguments = calloc((size_t)argc + 4, sizeof *arguments);
    if (!arguments) {
        message_error("out of memory for %d arguments", argc);
        return EXIT_FAILED;
    }
    int count = 0;
    arguments[count++] = (char *)"sgp";
    arguments[count++] = argv[0];
    arguments[count++] = (char *)"--output"; /* before the user's own, which is the same */
    arguments[count++] = (char *)settings->run.output;
    for (int i = 1; i < argc; i++) arguments[count++] = argv[i];
    int status = launch(&(launch_options_t){.nodes = settings->run.nodes * settings->run.workers,
                                            .workers = settings->run.workers,
                                            .file = SELF,
                                            .argv = arguments});
    free(arguments);
    return status;
}

/* Nodes need OpenMP held to one thread each, which it only reads when a program starts: those that are
 * threads, and those that MPI's launcher has started. */
static int start_again(char **argv) {
    setenv("OMP_NUM_THREADS", "1", 1);
    execv(SELF, argv - 1); /* the subcommand's name follows the program's */
    message_error("%s: %s", SELF, strerror(errno));
    return EXIT_FAILED;
}

/* What a group of that many processes can be made of. */
static void list_divisors(int size, char *text, size_t room) {
    size_t length = 0;
    for (int d = 1; d <= size && length < room; d++) {
        if (size % d) continue;
        const char *before = d == 1 ? "" : d == size ? " or " : ", ";
        length += (size_t)snprintf(text + length, room - length, "%s%d", before, d);
    }
}

/* The nodes of a group that somebody else has started, unless the command line has them. */
static bool find_nodes(settings_t *settings, const place_t *place) {
    char right[256];
    train_options_t *run = &settings->run;
    if (place->size == 0) return true;
    if (run->nodes == 0 && place->size % run->workers == 0) run->nodes = place->size / run->workers;
    if (run->nodes * run->workers == place->size) return true;
    list_divisors(place->size, right, sizeof right);
    if (place->size % run->workers)
        message_error("--workers-per-node %d: this process is one of a group of %d (SGP_SIZE), of "
                      "which nodes of %s workers can be made",
                      run->workers, place->size, right);
    else if (run->workers == 1)
        message_error("--nodes %d: this process is one of a group of %d (SGP_SIZE)", run->nodes,
                      place->size);
    else
        message_error("--nodes %d: this process is one of a group of %d (SGP_SIZE), which are %d "
                      "nodes of %d workers",
                      run->nodes, place->size, place->size / run->workers, run->workers);
    return false;
}

/* Everything that can be wrong before a start, so that one process says it and not every node. */
static bool check_run(const settings_t *settings) {
    dataset_t *dataset;
    uint64_t step;
    if (train_check(&settings->run) != SGP_OK) return false;
    if (dataset_load(settings->run.data, settings->run.limit_samples, &dataset) != SGP_OK)
        return false;
    dataset_destroy(dataset);
    return !settings->run.resume || resume_check(&settings->run, &step) == SGP_OK;
}

/* A run that is to be continued and has nothing left to do. */
static int show_finished(settings_t *settings, const train_summary_t *summary) {
    settings->run.output = settings->run.resume;
    if (!settings->quiet)
        message_line("%s: the run is finished, after %llu steps", settings->run.resume,
                     (unsigned long long)summary->steps);
    return summary_print(settings, summary);
}

static int train(settings_t *settings, const place_t *place, int argc, char **argv) {
    char output[OUTPUT_PATH], algorithms[TRAIN_STAGES_TEXT];
    train_summary_t summary;
    bool threads = strcmp(settings->run.transport, "loopback") == 0;
    bool node = place->size > 0, mpi = strcmp(settings->run.transport, "mpi") == 0;
    if (!find_nodes(settings, place)) return EXIT_MISTAKE;
    if (mpi && !node) {
        message_error("--transport mpi: MPI's launcher starts the nodes: mpirun -n %d sgp train "
                      "--transport mpi",
                      settings->run.nodes * settings->run.workers);
        return EXIT_MISTAKE;
    }
    message_workers(settings->run.workers);
    if (threads && node) {
        message_error("--transport loopback: all nodes are in one process, but SGP_RANK is set");
        return EXIT_MISTAKE;
    }
    if (settings->run.resume && resume_finished(settings->run.resume, &summary))
        return place->rank == 0 ? show_finished(settings, &summary) : 0;
    if ((threads || mpi) && !getenv("OMP_NUM_THREADS")) return start_again(argv);
    if (!settings->run.output) {
        output_name(settings->run.model,
                    train_algorithms_text(&settings->run.algorithm, algorithms), output);
        settings->run.output = output;
    }
    if (!node && !check_run(settings)) return EXIT_MISTAKE;
    if (place->rank == 0 && !output_prepare(settings->run.output)) return EXIT_MISTAKE;
    if (node) return node_run(settings, place);
    return threads ? threads_run(settings) : launch_nodes(settings, argc, argv);
}

int command_train(int argc, char **argv) {
    settings_t settings;
    place_t place;
    int first;
    if (!node_place(&place)) return EXIT_MISTAKE;
    mpi_place(argc, argv, &place);
    prctl(PR_SET_NAME, "sgp"); /* a node is executed as SELF, and would be listed as "exe" */
    settings_init(&settings);
    int usual = settings.run.nodes;
    if (place.size) settings.run.nodes = 0; /* as many as there are, unless the line says it */
    if (!options_parse(&settings_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help && place.size) settings.run.nodes = usual;
    if (settings.help) options_help(&settings_table, &settings);
    if (settings.version) puts("sgp " SGP_VERSION);
    if (settings.help || settings.version) return 0;
    message_log_library(&interrupt_signal);
    if (!settings.run.resume) {
        settings_finish(&settings);
        return train(&settings, &place, argc, argv);
    }
    resume_t resume;
    bool good = resume_settings(&resume, argc, argv, &settings);
    int status = good ? train(&settings, &place, argc, argv) : EXIT_MISTAKE;
    resume_release(&resume);
    return status;
}
