// Applies the tree's migrations to a database of its own, as every SQL test does before anything else.
import { TestDatabase } from "../support/database.ts";

await using db = await TestDatabase.create({ fresh: true });
await db.now();
