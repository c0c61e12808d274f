/** One thing that `npm run check` looks at. */
export interface Check {
  readonly name: string;
  /** The problems found in the tree at `root`, each a line or more that says where and what; none when all is well. */
  run(root: string): Promise<string[]>;
}
