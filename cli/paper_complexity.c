/* paper_complexity.c - `senet paper complexity`: the complexity figures of the paper, as aligned tables, JSON or CSV.
 */
#include <stdio.h>
#include <string.h>

#include "analysis/complexity.h"
#include "base/file.h"
#include "base/json.h"
#include "csv.h"
#include "paper.h"
#include "report.h"

/* ---- for programs ---- */

static void add_value(sn_json_writer *json, const char *key, const char *text, double value)
{
    if (text)
        sn_json_add_string(json, key, text);
    else
        sn_json_add_double(json, key, value);
}

static void add_json(sn_text *text, const sn_complexity_row *rows, size_t count)
{
    sn_json_writer json = {.text = text};
    sn_json_open_array(&json, NULL);
    for (const sn_complexity_row *row = rows; row < rows + count; row++) {
        sn_json_open_object(&json, NULL);
        sn_json_add_string(&json, "table", row->table);
        sn_json_add_string(&json, "row", row->row);
        sn_json_add_string(&json, "model", row->model);
        sn_json_add_string(&json, "quantity", row->quantity);
        add_value(&json, "ours", row->ours_text, row->ours);
        add_value(&json, "paper", row->paper_text, row->paper);
        sn_json_add_string(&json, "unit", row->unit);
        sn_json_add_bool(&json, "equal", row->equal);
        if (row->counted)
            sn_json_add_int(&json, "exact", row->exact);
        else
            sn_json_add_null(&json, "exact");
        sn_json_add_string(&json, "note", row->note ? row->note : "");
        sn_json_close_object(&json);
    }
    sn_json_close_array(&json);
}

static void add_csv_value(sn_text *text, const char *words, double value, int decimals)
{
    if (words)
        cli_csv_add(text, words);
    else
        sn_text_printf(text, "%.*f", decimals, value);
    sn_text_add_char(text, ',');
}

static senet_status write_csv(const char *path, const sn_complexity_row *rows, size_t count)
{
    sn_text text = {0};
    sn_text_add_string(&text, "table,row,model,quantity,ours,paper,unit,equal,exact,note\n");
    for (const sn_complexity_row *row = rows; row < rows + count; row++) {
        const char *const names[] = {row->table, row->row, row->model, row->quantity};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            cli_csv_add(&text, names[i]);
            sn_text_add_char(&text, ',');
        }
        add_csv_value(&text, row->ours_text, row->ours, row->decimals);
        add_csv_value(&text, row->paper_text, row->paper, row->decimals);
        sn_text_printf(&text, "%s,%s,", row->unit, row->equal ? "yes" : "no");
        if (row->counted) sn_text_printf(&text, "%lld", (long long)row->exact);
        sn_text_add_char(&text, ',');
        cli_csv_add(&text, row->note ? row->note : "");
        sn_text_add_char(&text, '\n');
    }
    senet_status status = sn_text_check(&text, path);
    if (status == SENET_OK) status = sn_file_write(path, text.bytes, text.length);
    sn_text_free(&text);
    return status;
}

/* ---- for people ---- */

/* The notes of the rows so far, each once, numbered from 1. */
enum { MOST_NOTES = 32 };
typedef struct note_list {
    const char *notes[MOST_NOTES];
    int count;
} note_list;

static int number_note(note_list *list, const char *note)
{
    int i = 0;
    while (i < list->count && strcmp(list->notes[i], note) != 0) i++;
    if (i == list->count && i < MOST_NOTES) list->notes[list->count++] = note;
    return i + 1;
}

/* "3.87 G", "2,514,944" */
static const char *number_text(const sn_complexity_row *row, double value, char text[32])
{
    if (row->unit[0])
        snprintf(text, 32, "%.*f %s", row->decimals, value, row->unit);
    else
        snprintf(text, 32, "%s", cli_grouped((int64_t)value));
    return text;
}

static void add_title(sn_text *text, const char *table)
{
    bool number = table[0] >= '0' && table[0] <= '9';
    sn_text_printf(text, "\n%s%s%s\n", number ? "Table " : "", table, strcmp(table, "1") == 0 ? ", architectures" : "");
    if (strcmp(table, "1") != 0)
        sn_text_printf(text, "  %-25s %-34s %-27s %10s %10s  %s\n", "row", "model", "quantity", "ours",
                       strcmp(table, "equation 5") == 0 ? "equation" : "paper", "equal");
}

static void add_row(sn_text *text, const sn_complexity_row *row, note_list *notes)
{
    char ours[32], paper[32];
    if (row->ours_text) {
        sn_text_printf(text, "  %-25s %-62s %s\n", row->row, row->ours_text, row->equal ? "yes" : "no");
        if (!row->equal) sn_text_printf(text, "  %-25s %s\n", "  in the paper", row->paper_text);
        return;
    }
    sn_text_printf(text, "  %-25s %-34s %-27s %10s %10s  %s", row->row, row->model, row->quantity,
                   number_text(row, row->ours, ours), number_text(row, row->paper, paper), row->equal ? "yes" : "no");
    if (row->note) sn_text_printf(text, " (%d)", number_note(notes, row->note));
    sn_text_add_char(text, '\n');
}

static void add_tables(sn_text *text, const sn_complexity_row *rows, size_t count)
{
    note_list notes = {.count = 0};
    size_t equal = 0;
    sn_text_add_string(
        text, "FLOPs of the paper are multiply-adds for one image: products of convolutions and linear layers, "
              "one more for\nevery value that a gate multiplies. Ours are counted and rounded to the "
              "digits printed there. Tables 10 to 16 count\nbatch norm's running statistics as "
              "parameters, Table 3 does not.\n");
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(rows[i].table, rows[i - 1].table) != 0) add_title(text, rows[i].table);
        add_row(text, &rows[i], &notes);
        equal += rows[i].equal;
    }
    sn_text_printf(text, "\n%zu of %zu rows are equal.\n", equal, count);
    for (int i = 0; i < notes.count; i++) sn_text_printf(text, "\n(%d) %s", i + 1, notes.notes[i]);
}

senet_status cli_paper_complexity(const cli_arguments *arguments)
{
    sn_arena arena = {0};
    sn_text text = {0};
    sn_complexity_row *rows;
    size_t count;
    senet_status status;
    SN_TRY(sn_complexity_compare(&arena, &rows, &count), cleanup);
    if (cli_given(arguments, "csv")) SN_TRY(write_csv(cli_text(arguments, "csv"), rows, count), cleanup);
    if (cli_flag(arguments, "json"))
        add_json(&text, rows, count);
    else
        add_tables(&text, rows, count);
    status = cli_print_text(&text);
cleanup:
    sn_arena_free(&arena);
    return status;
}
