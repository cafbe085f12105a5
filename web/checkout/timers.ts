// Timers that keep their appointments: a background tab's are throttled and a
// sleeping machine's stand still, so they are compared with the clock when the
// page is looked at again.

export const now = (): number => Date.now();

export const pause = (ms: number): Promise<unknown> => new Promise((over) => setTimeout(over, ms));

export function timers() {
  const set = new Map<string | number, { due: number; fire(): void }>();
  const cancel = (id: string | number) => set.delete(id);
  return {
    start(id: string | number, ms: number, run: () => void): void {
      const timer = {
        due: now() + ms,
        fire() {
          if (set.get(id) !== timer) return;
          cancel(id);
          run();
        },
      };
      set.set(id, timer);
      setTimeout(timer.fire, ms);
    },
    /** Runs what is overdue. */
    check(): void {
      set.forEach((timer) => timer.due <= now() && timer.fire());
    },
    clear: () => set.clear(),
  };
}
