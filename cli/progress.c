/* progress.c - see progress.h. */
#define _GNU_SOURCE
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "train/clock.h"

enum { WIDEST = 200, NARROWEST_BAR = 8, WIDEST_BAR = 32 };

static struct {
    bool drawn;
    double when;
} bar;

bool cli_progress_on_terminal(void)
{
    static int known = -1;
    if (known < 0) {
        const char *terminal = getenv("TERM");
        known = isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    }
    return known;
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col < WIDEST ? size.ws_col : WIDEST;
}

void cli_progress_draw(double fraction, const char *format, ...)
{
    double time = sn_seconds_now();
    if (!cli_progress_on_terminal() || (bar.drawn && time - bar.when < 0.1)) return;
    char text[WIDEST + 1], cells[WIDEST_BAR + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    /* The line may not reach the last column, or the terminal would wrap it: "[cells]  42% text" with 8 other
     * characters. */
    int columns = terminal_width() - 1, cells_count = columns - 8 - (int)strlen(text);
    if (cells_count > WIDEST_BAR) cells_count = WIDEST_BAR;
    fraction = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    if (cells_count >= NARROWEST_BAR) {
        int full = (int)(fraction * cells_count + 0.5);
        memset(cells, '#', (size_t)full);
        memset(cells + full, '.', (size_t)(cells_count - full));
        fprintf(stderr, "\r\033[K[%.*s] %3.0f%% %s", cells_count, cells, fraction * 100, text);
    } else if (columns > 5)
        fprintf(stderr, "\r\033[K%3.0f%% %.*s", fraction * 100, columns - 5, text);
    fflush(stderr);
    bar.drawn = true;
    bar.when = time;
}

void cli_progress_clear(void)
{
    if (!bar.drawn) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar.drawn = false;
}
