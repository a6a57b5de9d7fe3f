function verify(email, callback) {
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
    const query =
      'UPDATE webpages_Membership SET IsConfirmed = 1 WHERE IsConfirmed = 0 ' +
      'AND UserId IN (SELECT UserId FROM UserProfile WHERE UserName = @Username)';
    const request = new Request(query, function (err, rowCount) {
      if (err) return callback(err);
      callback(null, rowCount > 0);
    });
    request.addParameter('Username', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
