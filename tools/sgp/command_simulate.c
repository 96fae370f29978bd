/* SPDX-License-Identifier: Apache-2.0 */
/* `sgp simulate`: how long the algorithms' steps take on a simulated cluster. */
#include "command.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/output.h"
#include "report/report.h"
#include "report/report_simulation.h"
#include "simulate/presets.h"
#include "simulate/simulate_child.h"
#include "simulate/simulate_output.h"
#include "cli/text.h"
#include "simulate/simulate_settings.h"

#include "transport/simulated/simulated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int most_nodes(const simulate_settings_t *settings) {
    int most = 1;
    for (int i = 0; i < settings->nodes_count; i++)
        if (settings->nodes[i] > most) most = settings->nodes[i];
    return most;
}

static bool is_shown(const simulate_settings_t *settings) {
    return !settings->json && !settings->quiet;
}

/* The same simulation with nodes that fail, after the warm-up and before the end. It is left out where no node fails, and where
 * the first failure ends the run. */
static int simulate_failures(const simulate_settings_t *settings,
                             const simulation_algorithm_t *algorithm, int nodes,
                             const char *platform, const char *label, simulation_row_t *row) {
    simulate_settings_t with = *settings;
    simulation_row_t found;
    double measured = row->seconds - row->warm_up_s;
    if (settings->simulation.failures_s == 0 || simulation_failing(nodes) == 0) return 0;
    if (!simulation_goes_on(&settings->simulation, algorithm) || !(measured > 0)) return 0;
    with.simulation.failing.from_s = row->warm_up_s;
    with.simulation.failing.to_s = row->warm_up_s + 0.9 * measured;
    int status = simulate_row(&with, algorithm, nodes, platform, label, &found);
    if (status == 0) simulation_compare(row, &found);
    return status;
}

static int simulate_next(const simulate_settings_t *settings, const char *platform, int number,
                         simulation_row_t *rows) {
    int a = number / settings->nodes_count, at = number % settings->nodes_count;
    int nodes = settings->nodes[at];
    char label[96];
    snprintf(label, sizeof label, "%s, %d node%s", settings->algorithms[a]->name, nodes,
             nodes == 1 ? "" : "s");
    int status =
        simulate_row(settings, settings->algorithms[a], nodes, platform, label, &rows[number]);
    if (status == 0)
        status = simulate_failures(settings, settings->algorithms[a], nodes, platform, label,
                                   &rows[number]);
    if (status || !is_shown(settings)) return status;
    if (number == 0) simulate_print_head(settings);
    simulate_print_row(settings, a, rows + a * settings->nodes_count, at);
    return 0;
}

static int write_all(const simulate_settings_t *settings, const simulation_row_t *rows,
                     int finished) {
    bool shown = is_shown(settings), drawn;
    if (shown) simulate_print_legend(settings);
    if (!simulate_write(settings, rows, finished)) return EXIT_FAILED;
    if (settings->quiet) return 0;
    int status = report_simulation_write(settings->output, settings->output, &drawn);
    if (status || !shown) return status;
    printf("\nreport     %s/" REPORT_FILE "\n", settings->output);
    if (!drawn) printf("           without plots: no gnuplot (apt-get install gnuplot-nox)\n");
    return 0;
}

/* Finished rows are kept, however the rest ends. */
static int simulate_all(const simulate_settings_t *settings, const char *platform,
                        simulation_row_t *rows) {
    int total = simulate_rows_count(settings), finished = 0, status = 0;
    interrupt_catch();
    while (finished < total && !status && !interrupt_signal) {
        status = simulate_next(settings, platform, finished, rows);
        if (!status) finished++;
    }
    if (finished < total && interrupt_signal)
        message_error("simulate: stopped (%s); %d of %d rows are finished",
                      strsignal(interrupt_signal), finished, total);
    int written = finished > 0 ? write_all(settings, rows, finished) : 0;
    if (interrupt_signal) return 128 + interrupt_signal;
    return status ? status : written;
}

static int run(const simulate_settings_t *settings, const char *platform) {
    int total = simulate_rows_count(settings), status = EXIT_FAILED;
    simulation_row_t *rows = calloc((size_t)total, sizeof *rows);
    if (rows) status = simulate_all(settings, platform, rows);
    else message_error("out of memory for %d rows", total);
    free(rows);
    return status;
}

/* As a shell reads it: bare if that is safe, otherwise quoted. */
static void print_word(FILE *out, const char *word) {
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "-_.,:/=+@%";
    if (*word && word[strspn(word, safe)] == '\0') {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++) fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, out);
    fputc('\'', out);
}

/* Without the options that name a destination, so that the same command gives the same files. Released with free; NULL:
 * out of memory. */
static char *command_of(int argc, char **argv) {
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out) return NULL;
    fputs("sgp simulate", out);
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--output")) i++;
        else if (strcmp(argv[i], "--json") != 0 && strcmp(argv[i], "--quiet") != 0 &&
                 strncmp(argv[i], "--output=", strlen("--output=")) != 0) {
            fputc(' ', out);
            print_word(out, argv[i]);
        }
    }
    char *clean = fclose(out) == 0 && text ? text_clean(text) : NULL;
    free(text);
    return clean;
}

static int run_on_network(const simulate_settings_t *settings) {
    char path[64];
    if (settings->simulation.network.platform)
        return run(settings, settings->simulation.network.platform);
    int file = simulation_network_file(&settings->simulation.network, most_nodes(settings));
    if (file < 0) return EXIT_FAILED;
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int status = run(settings, path);
    close(file);
    return status;
}

int command_simulate(int argc, char **argv) {
    simulate_settings_t settings;
    char output[OUTPUT_PATH];
    int first;
    simulate_settings_init(&settings);
    if (!options_parse(&simulate_table, argc, argv, &settings, &first)) return EXIT_MISTAKE;
    if (settings.help) {
        options_help(&simulate_table);
        return 0;
    }
    message_log_library(NULL);
    if (!simulate_settings_finish(&settings)) return EXIT_MISTAKE;
    if (sgp_simulated_load() != SGP_OK) return EXIT_MISTAKE;
    if (!settings.output) {
        output_name("simulation",
                    settings.simulation.network.platform ? "platform"
                                                         : settings.simulation.network.name,
                    output);
        settings.output = output;
    }
    int status =
        settings.simulation.network.platform ? simulate_probe(&settings, most_nodes(&settings)) : 0;
    if (status) return status;
    if (!output_prepare(settings.output, OUTPUT_ROOM)) return EXIT_MISTAKE;
    char *command = command_of(argc, argv);
    settings.command = command;
    status = run_on_network(&settings);
    free(command);
    return status;
}
