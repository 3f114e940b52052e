"""Mosaics, as VRTs, of small rasters, and how all of one is read: for tests of what is opened and what is not."""

from __future__ import annotations

import numpy as np
import rasterio

from gridr_numba.files.inputs import open_raster

SHAPE = (6, 7)
NODES = np.arange(84.0).reshape(2, *SHAPE)


def write(path, values, driver="GTiff", **profile):
    values = values if values.ndim == 3 else values[np.newaxis]
    bands, height, width = values.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name, **profile}
    with rasterio.open(path, "w", driver=driver, **profile) as dataset:
        dataset.write(values)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    return path


def mosaic(names):
    """A VRT of two bands, and of so many sources beside one another."""
    rows, cols = SHAPE
    bands = "".join(
        f'<VRTRasterBand dataType="Float64" band="{band}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"/>'
            f'<DstRect xOff="{index * cols}" yOff="0" xSize="{cols}" ySize="{rows}"/></SimpleSource>'
            for index, name in enumerate(names)
        )
        + "</VRTRasterBand>"
        for band in (1, 2)
    )
    return f'<VRTDataset rasterXSize="{cols * len(names)}" rasterYSize="{rows}">{bands}</VRTDataset>'


#: All that a mosaic may hold, as GDAL's tools write it.
FULL = """<?xml version="1.0" encoding="UTF-8"?>
<VRTDataset rasterXSize="14" rasterYSize="6">
  <SRS dataAxisToSRSAxisMapping="1,2" coordinateEpoch="2021.3">EPSG:32631</SRS>
  <GeoTransform>  1.0e+02,  2.0, 0.0e+00,  300,  .0, -4.  </GeoTransform>
  <Metadata><MDI key="AREA_OR_POINT">Area</MDI></Metadata>
  <Metadata domain="IMAGE_STRUCTURE"><MDI key="INTERLEAVE">PIXEL</MDI></Metadata>
  <!-- left -->
  <VRTRasterBand dataType="Float64" band="1" blockXSize="128" blockYSize="64" subClass="VRTSourcedRasterBand">
    <Description>row &amp; such</Description><NoDataValue>nan</NoDataValue><ColorInterp>Gray</ColorInterp>
    <UnitType>m</UnitType><Offset>1</Offset><Scale>2.5</Scale>
    <ComplexSource resampling="nearest">
      <SourceFilename relativeToVRT="1" shared="0">tif.tif</SourceFilename><SourceBand>1</SourceBand>
      <SourceProperties RasterXSize="7" RasterYSize="6" DataType="Float64" BlockXSize="7" BlockYSize="6" />
      <SrcRect xOff="0" yOff="0" xSize="7" ySize="6" /><DstRect xOff="0" yOff="0" xSize="7" ySize="6" />
      <NODATA>5</NODATA><ScaleOffset>0</ScaleOffset><ScaleRatio>1</ScaleRatio>
    </ComplexSource>
    <SimpleSource>
      <SourceFilename relativeToVRT="1">raw.img</SourceFilename><SourceBand>1</SourceBand>
      <SrcRect xOff="0" yOff="0" xSize="7" ySize="6" /><DstRect xOff="7" yOff="0" xSize="7" ySize="6" />
    </SimpleSource>
  </VRTRasterBand>
  <VRTRasterBand dataType="Byte" band="2">
    <ColorInterp>Palette</ColorInterp>
    <ColorTable><Entry c1="0" c2="0" c3="0" c4="255" /><Entry c1="1" c2="2" c3="3" c4="255" /></ColorTable>
    <CategoryNames><Category>none</Category><Category>some</Category></CategoryNames>
    <SimpleSource>
      <SourceFilename relativeToVRT="1">raw.img</SourceFilename><SourceBand>2</SourceBand>
    </SimpleSource>
  </VRTRasterBand>
</VRTDataset>
"""


def make(at):
    """Two plain rasters, and others that nothing may open that does not name them."""
    write(at / "tif.tif", NODES)
    write(at / "raw.img", NODES + 100, "ENVI")
    write(at / "canary.tif", NODES - 1000)
    return at


def read(path, **options):
    """Read all that the doors may ask of a raster."""
    with open_raster(path, "grid", **options) as dataset:
        _ = dataset.files, dataset.crs, dataset.transform, dataset.gcps, dataset.nodatavals, dataset.block_shapes
        return np.array([dataset.read(band) for band in dataset.indexes])
