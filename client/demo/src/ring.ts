// The newest rows of a table of numbers. The rule: memory is taken once; a full ring forgets its oldest row.

/** A cell; `null` where nothing was known. */
export type Cell = number | null

export class Ring {
  private readonly cells: Cell[]
  private next = 0
  private filled = 0

  constructor(
    private readonly columns: number,
    private readonly capacity: number,
  ) {
    this.cells = new Array<Cell>(columns * capacity).fill(null)
  }

  /** Rows held. */
  get length(): number {
    return this.filled
  }

  /** Adds a row; cells that it lacks are unknown. */
  push(row: readonly Cell[]): void {
    for (let column = 0; column < this.columns; column++)
      this.cells[this.place(this.next, column)] = row[column] ?? null
    this.next = (this.next + 1) % this.capacity
    this.filled = Math.min(this.filled + 1, this.capacity)
  }

  /** A cell; row 0 is the oldest. */
  at(row: number, column: number): Cell {
    if (row < 0 || row >= this.filled) return null
    const physical = (this.next - this.filled + row + this.capacity) % this.capacity
    return this.cells[this.place(physical, column)] ?? null
  }

  /** A column from the oldest row to the newest. */
  column(column: number): Cell[] {
    return Array.from({ length: this.filled }, (_, row) => this.at(row, column))
  }

  // A column lies in one piece, since columns are what is read.
  private place(row: number, column: number): number {
    return column * this.capacity + row
  }
}
