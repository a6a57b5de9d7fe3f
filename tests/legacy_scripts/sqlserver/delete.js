function remove(id, callback) {
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: { port: Number(configuration.SQL_PORT), database: 'legacy', encrypt: false, rowCollectionOnRequestCompletion: true }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const request = new Request("DELETE FROM Users WHERE Id = @Id", function (err, rowCount, rows) {
      callback(err);
    });
    request.addParameter('Id', TYPES.VarChar, id);
    connection.execSql(request);
  });
}
