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
    const request = new Request('DELETE FROM webpages_Membership WHERE UserId = @Id', function (err) {
      if (err) return callback(err);
      const another = new Request('DELETE FROM UserProfile WHERE UserId = @Id', function (err) {
        callback(err);
      });
      another.addParameter('Id', TYPES.Int, id);
      connection.execSql(another);
    });
    request.addParameter('Id', TYPES.Int, id);
    connection.execSql(request);
  });
}
