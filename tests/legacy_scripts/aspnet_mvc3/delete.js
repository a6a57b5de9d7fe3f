function remove(id, callback) {
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const tables = ['Memberships', 'Users'];
    (function next(err) {
      const table = tables.shift();
      if (err || !table) return callback(err);
      const request = new Request('DELETE FROM ' + table + ' WHERE UserId = @Id', next);
      request.addParameter('Id', TYPES.UniqueIdentifierN, id);
      connection.execSql(request);
    })();
  });
}
