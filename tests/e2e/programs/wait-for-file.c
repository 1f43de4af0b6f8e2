/* Says that it waits, waits until a file exists, and prints the file: a program that runs for as long as a test wants. */
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv) {
  if (argc < 2) return fputs("usage: wait-for-file FILE\n", stderr), 2;
  printf("waiting for %s\n", argv[1]);
  fflush(stdout);
  FILE *file;
  while (!(file = fopen(argv[1], "r"))) usleep(50000);
  for (int byte; (byte = getc(file)) != EOF;) putchar(byte);
  return 0;
}
