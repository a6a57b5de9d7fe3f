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
      database: 'store',
      rowCollectionOnRequestCompletion: true
    }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const request = new Request('DELETE FROM dbo.Users WHERE Id = @UserId', function (err) {
      callback(err);
    });
    request.addParameter('UserId', TYPES.Int, id);
    connection.execSql(request);
  });
}
