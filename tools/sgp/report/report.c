/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include "cli/exit_status.h"
#include "cli/message.h"
#include "report/gnuplot.h"
#include "report/report_comparison.h"
#include "report/report_html.h"
#include "report/report_plot.h"
#include "report/report_read.h"
#include "report/report_terminal.h"

#include "files/atomic_file.h"
#include "files/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void report_name(char path[OUTPUT_PATH]) {
    char when[32];
    time_t now = time(NULL);
    struct tm local;
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", localtime_r(&now, &local));
    snprintf(path, OUTPUT_PATH, "runs/comparison-%s", when);
    for (int i = 2; access(path, F_OK) == 0 && i < 1000; i++)
        snprintf(path, OUTPUT_PATH, "runs/comparison-%s-%d", when, i);
}

bool report_check(void) {
    return gnuplot_check();
}

/* Frees text; NULL: out of memory. */
static int write_text(const char *output, const char *name, char *text) {
    if (!text) {
        message_error("%s/%s: out of memory", output, name);
        return EXIT_FAILED;
    }
    atomic_file_part_t part = {text, strlen(text)};
    sgp_status_t status = atomic_file_replace(output, name, &part, 1);
    free(text);
    return status == SGP_OK ? 0 : EXIT_FAILED;
}

static int write_page(const report_t *report, const char *output) {
    report_plot_t plots[REPORT_PLOTS];
    int status = report_plots_draw(report, plots);
    if (!status) status = write_text(output, REPORT_FILE, report_html(report, plots));
    report_plots_release(plots);
    return status;
}

static int write_tables(const report_t *report, const char *output) {
    int status = write_text(output, "comparison.md", report_markdown(report));
    if (status) return status;
    return files_json_write(output, "comparison.json", report_json(report)) == SGP_OK ? 0
                                                                                      : EXIT_FAILED;
}

int report_write(const char *const *directories, int count, const char *output) {
    report_t report = {0};
    if (!gnuplot_check()) return EXIT_MISTAKE;
    int status = report_read(directories, count, &report);
    if (!status && !output_prepare(output, OUTPUT_ROOM)) status = EXIT_MISTAKE;
    if (!status && (count > 1 || strcmp(output, directories[0]) != 0))
        status = write_tables(&report, output);
    if (!status) status = write_page(&report, output);
    report_release(&report);
    return status;
}

int report_print(const char *const *directories, int count) {
    report_t report;
    int status = report_read_good(directories, count, &report);
    if (report.count > 0) report_terminal_print(&report);
    report_release(&report);
    return status;
}
