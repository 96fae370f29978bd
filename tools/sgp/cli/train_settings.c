/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/train_settings.h"

#include "run/preset.h"
#include "run/recipe.h"

#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(settings_t, member)

static const option_t program_options[] = {
    {.name = "overwrite",
     .type = OPTION_FLAG,
     .section = SECTION_FILES,
     .offset = AT(overwrite),
     .help = "replace the run that --output holds; its files are removed first",
     .more = "Other files in the directory stay."},
    {.name = "quiet",
     .type = OPTION_FLAG,
     .section = SECTION_PROGRAM,
     .offset = AT(quiet),
     .help = "no progress and no summary; errors only"},
    {.name = "json",
     .type = OPTION_FLAG,
     .section = SECTION_PROGRAM,
     .offset = AT(json),
     .help = "print summary.json as the last line on standard output"},
    {.name = "version",
     .type = OPTION_FLAG,
     .section = SECTION_PROGRAM,
     .offset = AT(version),
     .help = "print the version and end"},
    {.name = "help",
     .type = OPTION_FLAG,
     .section = SECTION_PROGRAM,
     .offset = AT(help),
     .help = "print this text and end"},
    {0},
};

const option_table_t train_table = {
    .command = "train",
    .synopsis = "sgp train [OPTIONS]",
    .about = "Trains a model on several nodes that average their parameters as they go, and writes "
             "the run's directory. Defaults are in parentheses.",
    .parts = {{.rows = train_option_rows, .at = AT(run)},
              JOINING_PART(AT(joining), NULL),
              WATCHING_PART(AT(watching), NULL),
              {.rows = program_options}},
    .manual = "Defaults are in parentheses. A value follows its option, or an equals sign. Every "
              "command has --help.",
    .sections = true,
};

void settings_init(settings_t *settings) {
    const char *transport = getenv("SGP_TRANSPORT");
    *settings = (settings_t){0};
    options_init(&train_table, settings);
    if (transport && *transport) settings->run.transport = transport;
}

/* Options given beside a recipe or a preset win, so they are put over it once more. A resumed run has its own already. */
static bool put_over(settings_t *settings, const settings_t *before, int argc, char **argv) {
    int first;
    const char *recipe = settings->run.recipe, *preset = settings->run.preset;
    if (strcmp(recipe, before->run.recipe) == 0 && strcmp(preset, before->run.preset) == 0)
        return true;
    int workers = settings->run.workers;
    *settings = *before;
    settings->run.recipe = recipe;
    settings->run.preset = preset;
    settings->run.workers = workers;
    if (strcmp(recipe, before->run.recipe) != 0) recipe_apply(&settings->run);
    if (strcmp(preset, before->run.preset) != 0) preset_apply(&settings->run);
    return options_parse(&train_table, argc, argv, settings, &first);
}

bool settings_parse(settings_t *settings, int argc, char **argv) {
    settings_t before = *settings;
    int first;
    if (!options_parse(&train_table, argc, argv, settings, &first)) return false;
    if (!put_over(settings, &before, argc, argv)) return false;
    train_options_settle(&settings->run);
    return true;
}
